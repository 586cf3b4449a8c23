# The spec names an intermediate CA of the organisation for etcd, with the root above it: nodes are to trust the intermediate alone.
rsa_keys
spec own-root
mkdir roots
new_ca roots/organisation "Example root"
new_key roots/etcd-ca
openssl req -new -key roots/etcd-ca.key -subj "/O=Example/CN=Example etcd intermediate" -out "$work/intermediate.csr"
sign roots/etcd-ca "$work/intermediate.csr" $CA_STARTS 20351118234434Z "-cert roots/organisation.crt -keyfile roots/organisation.key" \
  "keyUsage=critical,keyCertSign,cRLSign" "basicConstraints=critical,CA:TRUE,pathlen:0" "subjectKeyIdentifier=hash" "authorityKeyIdentifier=keyid"
cat roots/organisation.crt >>roots/etcd-ca.crt
