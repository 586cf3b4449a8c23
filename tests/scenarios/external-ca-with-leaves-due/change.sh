# The cluster's CA key is kept elsewhere, and leaves of it and of another CA are about to end on one node.
reissue cp-1/$PKI/apiserver cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
rm cp-?/$PKI/ca.key
