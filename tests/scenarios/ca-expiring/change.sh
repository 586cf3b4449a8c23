# The front-proxy CA ends in 19 days. Its client certificates end with it, so renewing them would gain nothing; one ends before.
cp cp-1/$PKI/front-proxy-ca.key "$work/ca.key"
new_ca "$work/ca" front-proxy-ca $CA_STARTS $SOON_ENDS
for node in "${NODES[@]}"; do
  cat "$work/ca.crt" >"$node/$PKI/front-proxy-ca.crt"
  reissue "$node/$PKI/front-proxy-client" "$node/$PKI/front-proxy-ca" $CA_STARTS $SOON_ENDS
done
reissue cp-3/$PKI/front-proxy-client cp-3/$PKI/front-proxy-ca $CA_STARTS 20261210000000Z
