# The spec lists all names of the etcd peers' certificates; one of them has more than that.
issue cp-1/$PKI/etcd/peer cp-1/$PKI/etcd/ca /CN=cp-1 $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth,clientAuth" \
  "subjectAltName=DNS:cp-1,IP:10.0.0.11"
issue cp-3/$PKI/etcd/peer cp-3/$PKI/etcd/ca /CN=cp-3 $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth,clientAuth" \
  "subjectAltName=DNS:cp-3,DNS:old.example,IP:10.0.0.13"
issue cp-2/$PKI/etcd/peer cp-2/$PKI/etcd/ca /CN=cp-2 $CA_STARTS 20271121234434Z "extendedKeyUsage=serverAuth,clientAuth" \
  "subjectAltName=DNS:cp-2"
