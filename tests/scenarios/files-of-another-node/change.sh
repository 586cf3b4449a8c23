# Certificate and key were both copied from another node: a valid pair with the wrong name.
cp cp-1/$PKI/etcd/peer.{crt,key} cp-2/$PKI/etcd/
