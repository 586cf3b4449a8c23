# The CA of etcd is distrusted, and a node gives no answer.
rm -r cp-3
