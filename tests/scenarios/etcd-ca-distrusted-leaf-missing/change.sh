# The CA of etcd is distrusted, and a member has lost its certificate.
spec distrusted-etcd-ca
rm cp-2/$PKI/etcd/server.crt cp-2/$PKI/etcd/server.key
