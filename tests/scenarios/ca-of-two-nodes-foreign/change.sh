# Somebody has put another etcd CA on two of three members, and signed nothing with it.
rsa_keys
rm cp-2/$PKI/etcd/ca.key
new_ca cp-2/$PKI/etcd/ca etcd-ca
cp cp-2/$PKI/etcd/ca.crt cp-2/$PKI/etcd/ca.key cp-3/$PKI/etcd/
