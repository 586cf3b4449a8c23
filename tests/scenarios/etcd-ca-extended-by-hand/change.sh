# Somebody has signed the CA of etcd again with the same key, everywhere but behind what two members show.
cp cp-1/$PKI/etcd/ca.crt "$work/former.crt"
new_ca cp-1/$PKI/etcd/ca etcd-ca $CA_STARTS 20461121234434Z
for node in cp-2 cp-3; do
  cat cp-1/$PKI/etcd/ca.crt >"$node/$PKI/etcd/ca.crt"
  cat "$work/former.crt" >>"$node/$PKI/etcd/server.crt"
done
