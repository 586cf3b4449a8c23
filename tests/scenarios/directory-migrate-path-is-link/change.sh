# The link was made the wrong way round.
spec migrated-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
mkdir -p cp-2/data
ln -s /etc/kubernetes/pki cp-2/data/pki
