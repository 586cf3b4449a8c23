# `kubeadm init` ran a second time on one node, with a new service account key.
rm cp-2/$PKI/sa.key
new_key cp-2/$PKI/sa
openssl pkey -in cp-2/$PKI/sa.key -pubout -out cp-2/$PKI/sa.pub
