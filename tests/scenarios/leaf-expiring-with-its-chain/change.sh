# What etcd shows on one node ends in 19 days, and its CA stands behind it.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
cat cp-1/$PKI/etcd/ca.crt >>cp-1/$PKI/etcd/server.crt
