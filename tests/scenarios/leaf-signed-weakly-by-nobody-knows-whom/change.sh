# A signature that cannot be checked, and nothing else that tells which CA of this name made it.
MD=md5 issue cp-1/$PKI/front-proxy-client cp-1/$PKI/front-proxy-ca /CN=front-proxy-client $CA_STARTS 20271121234434Z \
  "extendedKeyUsage=clientAuth" "authorityKeyIdentifier=none"
