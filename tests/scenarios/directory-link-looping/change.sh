# A second `ln -s` went round in a circle.
spec linked-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
mv cp-2/data/pki cp-2/data/pki.real
ln -s /etc/kubernetes/pki cp-2/data/pki
