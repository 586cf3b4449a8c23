# A kubeconfig that should be as admin.conf holds an older certificate on one node, and on another it trusts another CA.
spec copies
front
reissue_kubeconfig cp-1/home/ops/.kube/config cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
new_ca "$work/other" kubernetes
kubeconfig_set cp-2/home/ops/.kube/config certificate-authority-data "$work/other.crt"
