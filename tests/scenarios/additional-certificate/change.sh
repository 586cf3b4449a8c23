# The spec has a certificate for a scraper: one node has it, one has it with the wrong group, one has none.
rsa_keys
for node in cp-1 cp-2; do mkdir -p $node/etc/scraper; done
issue cp-1/etc/scraper/tls cp-1/$PKI/etcd/ca /O=monitoring/CN=scraper-cp-1 $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
issue cp-2/etc/scraper/tls cp-2/$PKI/etcd/ca /O=metrics/CN=scraper-cp-2 $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
