# Files were copied from one node to another, one too many.
cp cp-1/$PKI/etcd/peer.key cp-2/$PKI/etcd/peer.key
