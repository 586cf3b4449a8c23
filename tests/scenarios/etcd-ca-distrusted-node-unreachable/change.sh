# The CA of etcd is distrusted, and a node gives no answer.
spec distrusted-etcd-ca
rm -r cp-3
