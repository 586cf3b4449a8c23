# The CA of etcd ends in 19 days, and stands behind what the members show.
spec expiring-etcd-ca
etcd_ca_ends_soon
for node in "${NODES[@]}"; do
  cat "$node/$PKI/etcd/ca.crt" >>"$node/$PKI/etcd/server.crt"
done
cat cp-2/$PKI/etcd/ca.crt >>cp-2/$PKI/etcd/peer.crt
