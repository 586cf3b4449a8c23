# etcd was given certificates of a CA that someone made beside the cluster's.
new_ca "$work/other" etcd-ca
reissue cp-1/$PKI/etcd/server "$work/other" $CA_STARTS 20271121234434Z
