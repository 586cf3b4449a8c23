# The CA of another cluster was added to a trust bundle.
new_ca "$work/other" other-cluster
cat "$work/other.crt" >>cp-1/$PKI/etcd/ca.crt
