# A CA was replaced by hand, the former one has ended, and it still stands first: in one file on all nodes, in another one on one node.
new_ca "$work/former" kubernetes 20161121000000Z 20261021000000Z
new_ca "$work/former-etcd" etcd-ca 20161121000000Z 20261021000000Z
for node in "${NODES[@]}"; do
  cat "$work/former.crt" "$node/$PKI/ca.crt" >"$work/bundle" && cat "$work/bundle" >"$node/$PKI/ca.crt"
done
cat "$work/former-etcd.crt" "cp-2/$PKI/etcd/ca.crt" >"$work/bundle" && cat "$work/bundle" >"cp-2/$PKI/etcd/ca.crt"
# What is renewed is signed by the one that signs.
reissue cp-1/$PKI/front-proxy-client cp-1/$PKI/front-proxy-ca 20251121000000Z $SOON_ENDS
sed '1,/END CERTIFICATE/d' cp-1/$PKI/ca.crt >"$work/own.crt"
cp cp-1/$PKI/ca.key "$work/own.key"
reissue cp-1/$PKI/apiserver "$work/own" $CA_STARTS $SOON_ENDS
