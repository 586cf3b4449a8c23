# The same, and the spec says that it is meant: what is under that CA is asked for.
spec external-ca
reissue cp-1/$PKI/apiserver cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
rm cp-?/$PKI/ca.key
