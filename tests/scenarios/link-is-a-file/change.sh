# Somebody wrote a file where the link should be.
spec migrated-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
rm cp-2/$PKI
echo "moved to /data/pki" >cp-2/$PKI
