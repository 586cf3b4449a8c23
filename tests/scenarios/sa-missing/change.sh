# A new control plane without the service account keys.
rm cp-3/$PKI/sa.key cp-3/$PKI/sa.pub
