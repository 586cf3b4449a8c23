# admin.conf is due, and root's own kubeconfig is a copy of it.
mkdir -p cp-1/root/.kube
reissue_kubeconfig cp-1/$KUBERNETES/admin.conf cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
cp -p cp-1/$KUBERNETES/admin.conf cp-1/root/.kube/config
