# Issued by hand with the wrong user and without the group.
issue cp-1/$PKI/apiserver-etcd-client cp-1/$PKI/etcd/ca /CN=apiserver $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-2/$PKI/apiserver-kubelet-client cp-2/$PKI/ca /CN=kube-apiserver-kubelet-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
