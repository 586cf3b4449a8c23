# Issued by hand, without the load balancer's name and address and without the node's own.
issue cp-3/$PKI/apiserver cp-3/$PKI/ca /CN=kube-apiserver $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth" \
  "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:10.0.0.13"
