# The spec calls a node by its name in an inventory; its kubelet is cp-1. Its certificates expire.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca $CA_STARTS $SOON_ENDS
reissue_kubeconfig cp-1/$KUBERNETES/kubelet.conf cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
