# kubeadm before 1.17 left the init node's kubelet with embedded certificates, which nobody renews.
reissue_kubeconfig cp-1/$KUBERNETES/kubelet.conf cp-1/$PKI/ca 20251121000000Z 20261121000000Z
