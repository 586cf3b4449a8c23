# A cluster that has no etcd CA yet, and one that somebody made elsewhere, beside the spec.
spec own-root
for node in "${NODES[@]}"; do rm -r "$node/$PKI/etcd" "$node/$PKI"/apiserver-etcd-client.*; done
mkdir roots
new_key roots/etcd-ca -algorithm EC -pkeyopt ec_paramgen_curve:P-384
new_ca roots/etcd-ca example-etcd-root
