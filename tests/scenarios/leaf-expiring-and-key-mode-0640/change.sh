# Renewed and made stricter in one visit: on its way back the certificate and its key go back together.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
reissue cp-1/$PKI/etcd/peer cp-1/$PKI/etcd/ca $CA_STARTS 20261231000000Z
reissue cp-1/$PKI/etcd/healthcheck-client cp-1/$PKI/etcd/ca $CA_STARTS 20261231000001Z
chmod 0640 cp-1/$PKI/etcd/server.key
