# A cluster that nobody has looked after for a year.
for node in "${NODES[@]}"; do
  for name in apiserver apiserver-kubelet-client; do reissue $node/$PKI/$name $node/$PKI/ca 20251121000000Z 20261121000000Z; done
  reissue $node/$PKI/front-proxy-client $node/$PKI/front-proxy-ca 20251121000000Z 20261121000000Z
  for name in apiserver-etcd-client etcd/server etcd/peer etcd/healthcheck-client; do
    reissue $node/$PKI/$name $node/$PKI/etcd/ca 20251121000000Z 20261121000000Z
  done
  for name in admin controller-manager scheduler kubelet; do
    reissue_kubeconfig $node/$KUBERNETES/$name.conf $node/$PKI/ca 20251121000000Z 20261121000000Z
  done
done
