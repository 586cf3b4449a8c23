# Three that Go takes and OpenSSL refuses: another key identifier than the CA's, any use but none by name, and a key that may only sign certificates.
client() {
  issue "$1/$PKI/front-proxy-client" "$2" /CN=front-proxy-client $CA_STARTS 20271121234434Z "${@:3}"
}
ca=cp-1/$PKI/front-proxy-ca
openssl x509 -x509toreq -in $ca.crt -signkey $ca.key -out "$work/twin.csr" 2>/dev/null
sign "$work/twin" "$work/twin.csr" $CA_STARTS 20361118234434Z "-selfsign -keyfile $ca.key" \
  "basicConstraints=critical,CA:TRUE" "subjectKeyIdentifier=01:02:03:04"
cp $ca.key "$work/twin.key"
client cp-1 "$work/twin" "extendedKeyUsage=clientAuth"
client cp-2 $ca "extendedKeyUsage=anyExtendedKeyUsage"
client cp-3 $ca "extendedKeyUsage=clientAuth" "keyUsage=critical,keyCertSign"
