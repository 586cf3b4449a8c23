# cfssl made the CAs for less than the certificates that they issued; etcd's files lie on a data disk behind the link that ACK asks for.
rsa_keys
ack data/etcd/cert 20261220000000Z
for node in "${NODES[@]}"; do
  mkdir -p "$node/var/lib/etcd"
  ln -s /data/etcd/cert "$node/var/lib/etcd/cert"
done
