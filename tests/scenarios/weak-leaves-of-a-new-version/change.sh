# What an older version took: SHA-1 until 1.24, short RSA keys until 1.33.
sed -i 's|:v1.20.2$|:v1.34.1|' cp-?/$KUBERNETES/manifests/*.yaml
MD=sha1 issue cp-1/$PKI/front-proxy-client cp-1/$PKI/front-proxy-ca /CN=front-proxy-client $CA_STARTS 20271121234434Z \
  "extendedKeyUsage=clientAuth"
rm cp-2/$PKI/front-proxy-client.key
new_key cp-2/$PKI/front-proxy-client -algorithm RSA -pkeyopt rsa_keygen_bits:768
issue cp-2/$PKI/front-proxy-client cp-2/$PKI/front-proxy-ca /CN=front-proxy-client $CA_STARTS 20271121234434Z \
  "extendedKeyUsage=clientAuth"
