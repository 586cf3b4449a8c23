# One control plane was set up anew and has neither the link nor the directory yet.
spec linked-directory
for node in cp-1 cp-3; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
rm -r cp-2/$PKI
