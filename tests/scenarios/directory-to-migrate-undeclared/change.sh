# One node still has its files in the real directory, and the spec does not say that they may be moved.
spec linked-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
