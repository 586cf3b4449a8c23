# Someone copied keys about with a careless umask; a stricter mode elsewhere is no fault.
chmod 0644 cp-1/$PKI/apiserver.key cp-3/$PKI/ca.key cp-2/$KUBERNETES/admin.conf
chmod 0400 cp-2/$PKI/apiserver.key
chmod 0600 cp-2/$PKI/apiserver.crt
