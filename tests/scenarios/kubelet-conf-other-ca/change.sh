# The kubelet renews its certificate, yet nobody renews the CA in its kubeconfig; that file is readable by all as well.
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
new_ca "$work/old" kubernetes
kubeconfig_set cp-2/$KUBERNETES/kubelet.conf certificate-authority-data "$work/old.crt"
chmod 0644 cp-2/$KUBERNETES/kubelet.conf
