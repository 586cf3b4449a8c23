# The link was taken away, the files are where they should be.
spec linked-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
rm cp-2/$PKI
