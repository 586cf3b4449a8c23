# A spec of one control plane of three, which distrusts the CA of etcd; the member's own manifest names the two others.
cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380
sed -i "s|--initial-cluster=.*|--initial-cluster=$cluster|" cp-2/$KUBERNETES/manifests/etcd.yaml
