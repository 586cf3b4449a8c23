# The key was left behind.
rm cp-1/$PKI/apiserver.key
