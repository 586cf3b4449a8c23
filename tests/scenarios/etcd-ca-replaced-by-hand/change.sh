# A rotation begun by hand, as the manuals say: both in every bundle, the new one's key in the place of the old one's.
spec distrusted-etcd-ca
new_ca "$work/next" etcd-ca-2026
for node in "${NODES[@]}"; do
  cat "$work/next.crt" "$node/$PKI/etcd/ca.crt" >"$work/bundle" && cat "$work/bundle" >"$node/$PKI/etcd/ca.crt"
  cat "$work/next.key" >"$node/$PKI/etcd/ca.key"
done
