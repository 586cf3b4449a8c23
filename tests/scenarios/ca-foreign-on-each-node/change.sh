# kubeadm init was run again on two of three nodes, each of which has made a CA of its own: no two of them agree.
for node in cp-2 cp-3; do
  rm $node/$PKI/etcd/ca.key
  new_ca $node/$PKI/etcd/ca etcd-ca
  for name in server peer healthcheck-client; do
    reissue $node/$PKI/etcd/$name $node/$PKI/etcd/ca $CA_STARTS 20271121234434Z
  done
  reissue $node/$PKI/apiserver-etcd-client $node/$PKI/etcd/ca $CA_STARTS 20271121234434Z
done
