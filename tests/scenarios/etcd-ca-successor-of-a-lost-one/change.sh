# The CA that was to come has issued what clients of one node show, and its key is gone; another one waits in its place.
spec distrusted-etcd-ca
new_ca "$work/lost" etcd-ca-20261129
new_ca "$work/next" etcd-ca-20261130
for node in "${NODES[@]}"; do
  install -m 644 "$work/next.crt" "$node/$PKI/etcd/ca-next.crt"
  install -m 600 "$work/next.key" "$node/$PKI/etcd/ca-next.key"
  cat "$work/lost.crt" "$work/next.crt" >>"$node/$PKI/etcd/ca.crt"
done
for leaf in apiserver-etcd-client etcd/healthcheck-client; do
  reissue "cp-1/$PKI/$leaf" "$work/lost" 20261130000000Z 20271130000000Z
done
