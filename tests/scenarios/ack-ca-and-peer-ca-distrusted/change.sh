# Both CAs of etcd are distrusted, as after a stolen backup of one master: two replacements that share every restart.
rsa_keys
ack var/lib/etcd/cert
distrust CLIENT_CA "$work/ca.crt"
distrust PEER_CA "$work/peer-ca.crt"
