# The link was never made on one node, and a certificate ends soon: the rule of ACK's manual is to make the link before renewing.
spec linked-directory
for node in "${NODES[@]}"; do
  mkdir -p "$node/data"
  mv "$node/$PKI" "$node/data/pki"
  ln -s /data/pki "$node/$PKI"
done
reissue cp-2/data/pki/apiserver cp-2/data/pki/ca $CA_STARTS $SOON_ENDS
rm cp-2/$PKI
