# The new disk is mounted and its directory made, and nothing is in it yet.
spec migrated-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
mkdir -p cp-2/data/pki
chmod 0700 cp-2/data/pki
