# A leaf of fifty years below a CA of ten, as vendors' scripts issue them.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS 20761109234434Z
