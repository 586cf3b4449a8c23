# An upgraded cluster: certificates from before 1.29 keep their old groups until they are renewed, new ones have the new groups.
sed -i 's|:v1.20.2$|:v1.31.2|' cp-?/$KUBERNETES/manifests/*.yaml
issue cp-1/$PKI/apiserver-kubelet-client cp-1/$PKI/ca /O=kubeadm:cluster-admins/CN=kube-apiserver-kubelet-client \
  $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-1/$PKI/apiserver-etcd-client cp-1/$PKI/etcd/ca /CN=kube-apiserver-etcd-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-1/$PKI/etcd/healthcheck-client cp-1/$PKI/etcd/ca /CN=kube-etcd-healthcheck-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue "$work/admin" cp-1/$PKI/ca /O=kubeadm:cluster-admins/CN=kubernetes-admin $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
kubeconfig_set cp-1/$KUBERNETES/admin.conf client-certificate-data "$work/admin.crt"
kubeconfig_set cp-1/$KUBERNETES/admin.conf client-key-data "$work/admin.key"
