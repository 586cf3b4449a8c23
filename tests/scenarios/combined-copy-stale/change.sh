# On one node the copy still is of the certificate before, on another its key is open to all, on a third it is empty.
spec copies
front
new_key old
issue old cp-1/$PKI/ca /CN=front.prod-eu1.example $CA_STARTS $SOON_ENDS "extendedKeyUsage=serverAuth" "subjectAltName=DNS:front.prod-eu1.example"
cat old.crt old.key >cp-1/etc/haproxy/front.pem
rm old.crt old.key
chmod 0644 cp-2/etc/haproxy/front.pem
: >cp-3/etc/haproxy/front.pem
