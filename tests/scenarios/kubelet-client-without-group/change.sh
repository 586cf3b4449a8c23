# v1.36.1 issues apiserver-kubelet-client without a group, v1.35 did with one, v1.28 with another: each is due, and each keeps what it has.
for node in "${NODES[@]}"; do sed -i 's/:v1\.20\.2$/:v1.36.1/' $node/$KUBERNETES/manifests/*.yaml; done
client() {
  issue $1/$PKI/apiserver-kubelet-client $1/$PKI/ca "$2/CN=kube-apiserver-kubelet-client" $CA_STARTS $SOON_ENDS "extendedKeyUsage=clientAuth"
}
client cp-1 ""
client cp-2 /O=kubeadm:cluster-admins
client cp-3 /O=system:masters
