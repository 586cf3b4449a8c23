# A script appended the CA that was there already.
cat cp-1/$PKI/ca.crt >>cp-2/$PKI/ca.crt
