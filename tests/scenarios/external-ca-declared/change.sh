# The same, and the spec says that it is meant.
rm cp-?/$PKI/ca.key
