# Nothing was touched since `kubeadm init` and `kubeadm join`.
