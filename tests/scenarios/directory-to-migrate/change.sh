# One node still has its files in the real directory. Most of what reads them is restarted by hand.
spec migrated-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
