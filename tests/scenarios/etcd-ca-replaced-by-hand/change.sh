# A rotation begun by hand, as the manuals say: both in every bundle, the new one's key in the place of the old one's.
new_ca "$work/new" etcd-ca-2026
for node in "${NODES[@]}"; do
  cat "$work/new.crt" "$node/$PKI/etcd/ca.crt" >"$work/both" && cat "$work/both" >"$node/$PKI/etcd/ca.crt"
  cat "$work/new.key" >"$node/$PKI/etcd/ca.key"
done
