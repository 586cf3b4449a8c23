# The nodes that answer have no CA key; whether the third one holds it is not known.
rm cp-1/$PKI/ca.key cp-2/$PKI/ca.key
rm -r cp-3
