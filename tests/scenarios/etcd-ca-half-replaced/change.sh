# A replacement that was interrupted: the new CA waits on every node, two of three trust both, and one shows certificates of the new one already.
spec distrusted-etcd-ca
new_ca "$work/next" etcd-ca-20261130
for node in "${NODES[@]}"; do
  install -m 644 "$work/next.crt" "$node/$PKI/etcd/ca-next.crt"
  install -m 600 "$work/next.key" "$node/$PKI/etcd/ca-next.key"
done
for node in cp-1 cp-2; do cat "$work/next.crt" >>"$node/$PKI/etcd/ca.crt"; done
for leaf in apiserver-etcd-client etcd/healthcheck-client etcd/peer etcd/server; do
  reissue "cp-1/$PKI/$leaf" "$work/next" 20261130000000Z 20271130000000Z
done
