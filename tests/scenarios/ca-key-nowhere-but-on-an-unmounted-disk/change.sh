# Only one node held the CA key, and its folder is on a disk that is not mounted.
rm cp-2/$PKI/ca.key cp-3/$PKI/ca.key
rm -r cp-1/$PKI
ln -s /data/pki cp-1/$PKI
