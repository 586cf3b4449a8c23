# The etcd CA and everything that it issued use P-256; `keyAlgorithm` is not declared, so that is as good.
new_key "$work/ca" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
new_ca "$work/ca" etcd-ca
for node in "${NODES[@]}"; do
  cat "$work/ca.crt" >"$node/$PKI/etcd/ca.crt"
  cat "$work/ca.key" >"$node/$PKI/etcd/ca.key"
  for leaf in etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client; do
    reissue "$node/$PKI/$leaf" "$node/$PKI/etcd/ca" $CA_STARTS 20271121234434Z
  done
done
