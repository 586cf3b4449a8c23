# A control plane joined without the uploaded CA key.
rm cp-2/$PKI/ca.key
