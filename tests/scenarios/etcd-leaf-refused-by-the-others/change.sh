# A rotation of etcd's CA on one node alone that ended half-way: that node trusts both CAs and presents certificates of the new one, which the others do not know.
new_ca "$work/next" etcd-ca-20261127
cat "$work/next.crt" >>cp-2/$PKI/etcd/ca.crt
reissue cp-2/$PKI/etcd/server "$work/next" $CA_STARTS 20271121234434Z
reissue cp-2/$PKI/etcd/peer "$work/next" $CA_STARTS 20271121234434Z
