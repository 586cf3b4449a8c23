# Only the .key files were copied to the new control plane.
rm cp-3/$PKI/sa.pub
