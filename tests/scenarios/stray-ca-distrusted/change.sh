# A CA that is none of the cluster's is in the file by which API servers judge clients, on two nodes, and in the CA data of a kubeconfig; the spec distrusts it.
for node in cp-1 cp-2; do cat "$(dirname "$2")/company.crt" >>"$node/$PKI/ca.crt"; done
cat cp-2/$PKI/ca.crt >"$work/both.crt"
kubeconfig_set cp-2/$KUBERNETES/scheduler.conf certificate-authority-data "$work/both.crt"
