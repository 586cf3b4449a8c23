# An etcd peer is both ends of its connections, and this one may only be a server.
issue cp-1/$PKI/etcd/peer cp-1/$PKI/etcd/ca /CN=cp-1 $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth" \
  "subjectAltName=DNS:cp-1,DNS:localhost,IP:10.0.0.11,IP:127.0.0.1,IP:::1"
