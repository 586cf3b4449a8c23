# The spec distrusts the CA of etcd.
spec distrusted-etcd-ca
