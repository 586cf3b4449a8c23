# DNS names compare without case, and further names are what people add for load balancers.
issue cp-3/$PKI/etcd/server cp-3/$PKI/etcd/ca /CN=cp-3 $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth,clientAuth" \
  "subjectAltName=DNS:CP-3,DNS:LocalHost,DNS:etcd.prod-eu1.example,IP:10.0.0.13,IP:127.0.0.1,IP:::1"
