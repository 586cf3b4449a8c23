# The CA of etcd ends in 19 days, and what it issued after it.
cp cp-1/$PKI/etcd/ca.key "$work/ca.key"
new_ca "$work/ca" etcd-ca $CA_STARTS $SOON_ENDS
for node in "${NODES[@]}"; do
  cat "$work/ca.crt" >"$node/$PKI/etcd/ca.crt"
  for leaf in apiserver-etcd-client etcd/healthcheck-client etcd/peer etcd/server; do
    reissue "$node/$PKI/$leaf" "$work/ca" $CA_STARTS 20271121234435Z
  done
done
