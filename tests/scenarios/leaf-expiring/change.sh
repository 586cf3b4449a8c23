# The etcd certificates of one member end within the window of 30 days; the server's in 19 days, the peer's exactly on its edge.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
reissue cp-1/$PKI/etcd/peer cp-1/$PKI/etcd/ca $CA_STARTS 20261231000000Z
reissue cp-1/$PKI/etcd/healthcheck-client cp-1/$PKI/etcd/ca $CA_STARTS 20261231000001Z
