# The same, and a certificate is due: it is renewed by the CA that is there, which costs nobody outside the spec anything.
cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380
sed -i "s|--initial-cluster=.*|--initial-cluster=$cluster|" cp-2/$KUBERNETES/manifests/etcd.yaml
reissue cp-2/$PKI/apiserver cp-2/$PKI/ca $CA_STARTS $SOON_ENDS
