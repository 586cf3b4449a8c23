# Someone protected keys with a passphrase, in both forms that openssl writes.
openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret -in cp-1/$PKI/apiserver.key -out "$work/key" && cat "$work/key" >cp-1/$PKI/apiserver.key
openssl rsa -aes256 -traditional -passout pass:secret -in cp-2/$PKI/ca.key -out "$work/key" 2>/dev/null && cat "$work/key" >cp-2/$PKI/ca.key
openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret -in cp-3/$PKI/sa.key -out "$work/key" && cat "$work/key" >cp-3/$PKI/sa.key
