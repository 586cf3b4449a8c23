# kubeadm's external CA mode: the cluster's CA certificate without its key, on every node.
rm cp-?/$PKI/ca.key
