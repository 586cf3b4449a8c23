# The spec distrusts the CA of etcd, and both are to be trusted for a day.
