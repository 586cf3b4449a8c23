# The link leads to the copy from before the move.
spec linked-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
cp -rp cp-2/data/pki cp-2/data/old
ln -sfn ../../data/old cp-2/$PKI
