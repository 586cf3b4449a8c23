# The front-proxy CA has ended, and its leaves with it.
cp cp-1/$PKI/front-proxy-ca.key "$work/ca.key"
new_ca "$work/ca" front-proxy-ca 20161121000000Z 20261119000000Z
for node in "${NODES[@]}"; do
  cat "$work/ca.crt" >"$node/$PKI/front-proxy-ca.crt"
  reissue "$node/$PKI/front-proxy-client" "$node/$PKI/front-proxy-ca" 20251121000000Z 20261119000000Z
done
