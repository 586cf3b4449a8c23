# Moved away for a renewal that never came.
rm cp-1/$PKI/apiserver.{crt,key} cp-2/$KUBERNETES/admin.conf
