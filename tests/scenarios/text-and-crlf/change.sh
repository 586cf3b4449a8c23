# Bundles with text between the blocks, files with Windows line ends: everything reads them, so nothing is wrong.
openssl x509 -in cp-1/$PKI/etcd/server.crt -text -out "$work/text" && cat "$work/text" >cp-1/$PKI/etcd/server.crt
sed -i '1i # the CA of prod-eu1' cp-1/$PKI/ca.crt
sed -i 's/$/\r/' cp-2/$PKI/apiserver.crt
openssl pkcs12 -export -passout pass: -inkey cp-3/$PKI/apiserver.key -in cp-3/$PKI/apiserver.crt -out "$work/p12"
openssl pkcs12 -in "$work/p12" -passin pass: -nodes -nocerts -out "$work/bag" && cat "$work/bag" >cp-3/$PKI/apiserver.key
# A name that a person gave, with words in it that look like a block.
sed -i '1i \    friendlyName: prod / -----BEGIN CERTIFICATE-----' cp-2/$PKI/ca.crt cp-3/$PKI/apiserver.crt cp-1/$PKI/apiserver.key
