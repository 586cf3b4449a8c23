# The API server of the one node in the spec names two members of etcd that are not in it; the spec has the CA of etcd extended.
servers=https://127.0.0.1:2379,https://10.0.0.11:2379,https://10.0.0.13:2379
sed -i "s|--etcd-servers=.*|--etcd-servers=$servers|" cp-2/$KUBERNETES/manifests/kube-apiserver.yaml
