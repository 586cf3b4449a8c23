# The spec distrusts the CA of etcd.
