# cp-1 was upgraded to 1.29, where kubeadm gives other groups; the others are 1.28 still.
for node in "${NODES[@]}"; do sed -i 's/:v1\.20\.2$/:v1.28.15/' $node/$KUBERNETES/manifests/*.yaml; done
sed -i 's/:v1\.28\.15$/:v1.29.4/' cp-1/$KUBERNETES/manifests/*.yaml
issue cp-1/$PKI/apiserver-kubelet-client cp-1/$PKI/ca /O=kubeadm:cluster-admins/CN=kube-apiserver-kubelet-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-1/$PKI/apiserver-etcd-client cp-1/$PKI/etcd/ca /CN=kube-apiserver-etcd-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-1/$PKI/etcd/healthcheck-client cp-1/$PKI/etcd/ca /CN=kube-etcd-healthcheck-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
new_key "$work/admin"
issue "$work/admin" cp-1/$PKI/ca /O=kubeadm:cluster-admins/CN=kubernetes-admin $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
kubeconfig_set cp-1/$KUBERNETES/admin.conf client-certificate-data "$work/admin.crt"
kubeconfig_set cp-1/$KUBERNETES/admin.conf client-key-data "$work/admin.key"
