# A group that this version does not know yet gives the API server no rights on the kubelets.
issue cp-1/$PKI/apiserver-kubelet-client cp-1/$PKI/ca /O=kubeadm:cluster-admins/CN=kube-apiserver-kubelet-client \
  $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
