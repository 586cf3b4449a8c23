# Docker made folders in the place of files that were missing.
rm cp-2/$PKI/apiserver.crt cp-2/$KUBERNETES/scheduler.conf
mkdir cp-2/$PKI/apiserver.crt cp-2/$KUBERNETES/scheduler.conf
