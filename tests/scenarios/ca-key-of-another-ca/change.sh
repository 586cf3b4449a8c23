# `openssl genrsa` over the wrong file.
rm cp-3/$PKI/front-proxy-ca.key
new_key cp-3/$PKI/front-proxy-ca
