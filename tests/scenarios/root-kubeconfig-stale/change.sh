# A person copied admin.conf to root's own kubeconfig before its last renewal; on another node root's is for another cluster.
for node in cp-1 cp-2; do mkdir -p $node/root/.kube; cp -p $node/$KUBERNETES/admin.conf $node/root/.kube/config; done
reissue_kubeconfig cp-1/root/.kube/config cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
issue "$work/alice" cp-2/$PKI/ca /CN=alice $CA_STARTS $SOON_ENDS "extendedKeyUsage=clientAuth"
kubeconfig_set cp-2/root/.kube/config client-certificate-data "$work/alice.crt"
kubeconfig_set cp-2/root/.kube/config client-key-data "$work/alice.key"
