# Fifty-nine days are left to one certificate and fifteen to another, whose own alarm is later: ACK warns from 60 days before the end.
reissue cp-1/$PKI/apiserver cp-1/$PKI/ca $CA_STARTS 20270129000000Z
reissue cp-2/$PKI/apiserver cp-2/$PKI/ca $CA_STARTS 20270130000001Z
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS 20261216000000Z
