# The CA that was to come is trusted by all, and its key is gone everywhere.
spec distrusted-etcd-ca
new_ca "$work/next" etcd-ca-20261130
for node in "${NODES[@]}"; do
  install -m 644 "$work/next.crt" "$node/$PKI/etcd/ca-next.crt"
  cat "$work/next.crt" >>"$node/$PKI/etcd/ca.crt"
done
