# The spec has certificates that give more than the profile does. One of them is on disk already, as it is declared, and expires.
rsa_keys
add_worker w-1
mkdir -p cp-2/etc/granted w-1/var/lib
issue cp-2/etc/granted/tls cp-2/$PKI/ca /O=system:masters/CN=granted $CA_STARTS $SOON_ENDS "extendedKeyUsage=clientAuth"
chmod 0640 cp-2/etc/granted/tls.key
