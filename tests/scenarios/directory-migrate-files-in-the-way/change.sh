# An upgrade made a real folder in the place of the link: files are in both.
spec migrated-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
rm cp-2/$PKI
cp -rp cp-2/data/pki cp-2/$PKI
