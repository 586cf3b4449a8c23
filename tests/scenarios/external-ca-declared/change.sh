# The same, and the spec says that it is meant.
spec external-ca
rm cp-?/$PKI/ca.key
