# The spec wants P-256 for one certificate; one node has it already.
rm cp-1/$PKI/front-proxy-client.key
new_key "$work/key" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
(umask 077 && cp "$work/key.key" cp-1/$PKI/front-proxy-client.key)
issue cp-1/$PKI/front-proxy-client cp-1/$PKI/front-proxy-ca /CN=front-proxy-client $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
