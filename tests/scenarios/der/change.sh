# A certificate came back from a corporate CA as DER, and a key was converted along with it.
openssl x509 -in cp-1/$PKI/front-proxy-client.crt -outform DER -out "$work/der"
cat "$work/der" >cp-1/$PKI/front-proxy-client.crt
openssl pkey -in cp-2/$PKI/apiserver.key -outform DER -out "$work/key"
cat "$work/key" >cp-2/$PKI/apiserver.key
