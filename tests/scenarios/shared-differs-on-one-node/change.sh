# Somebody renewed the shared pair on one node only, long ago: it ends first, and its copy is of that one.
spec copies
front
rm cp-1/etc/front/tls.key
issue cp-1/etc/front/tls cp-1/$PKI/ca /CN=front.prod-eu1.example $CA_STARTS 20270601000000Z "extendedKeyUsage=serverAuth" "subjectAltName=DNS:front.prod-eu1.example"
front_copy cp-1
