# kubeadm's certificatesDir, which only the flags of the running components tell.
for node in "${NODES[@]}"; do
  mkdir -p "$node/srv"
  mv "$node/$PKI" "$node/srv/pki"
  sed -i 's|/etc/kubernetes/pki|/srv/pki|g' "$node"/$KUBERNETES/manifests/*.yaml
done
chmod 0644 cp-1/srv/pki/etcd/peer.key
