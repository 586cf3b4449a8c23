# The files of one node are still in the real directory, and one certificate in it ends soon.
spec migrated-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
reissue cp-2/$PKI/apiserver cp-2/$PKI/ca $CA_STARTS $SOON_ENDS
