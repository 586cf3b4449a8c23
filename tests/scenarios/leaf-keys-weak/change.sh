# Keys that somebody made with a curve of blockchains, or short enough for old devices.
client() {
  rm "$1/$PKI/front-proxy-client.key"
  new_key "$1/$PKI/front-proxy-client" "${@:2}"
  issue "$1/$PKI/front-proxy-client" "$1/$PKI/front-proxy-ca" /CN=front-proxy-client $CA_STARTS 20271121234434Z \
    "extendedKeyUsage=clientAuth"
}
client cp-1 -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -pkeyopt ec_param_enc:named_curve
client cp-2 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
client cp-3 -algorithm RSA -pkeyopt rsa_keygen_bits:768
