# The spec names an own root, and the cluster runs on the CA that kubeadm made.
rsa_keys
spec own-root
mkdir roots
new_ca roots/etcd-ca example-etcd-root
