# The own root for a cluster without an etcd CA ends before certificates of a year.
rsa_keys
spec own-root
for node in "${NODES[@]}"; do rm -r "$node/$PKI/etcd" "$node/$PKI"/apiserver-etcd-client.*; done
mkdir roots
new_ca roots/etcd-ca example-etcd-root $CA_STARTS 20270601000000Z
