# Leaves are declared for fifty years under a CA that ends in ten; one is about to end.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
