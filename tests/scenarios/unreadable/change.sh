# A file stands where a folder should be, so nothing below it can be seen.
mv cp-2/$PKI/etcd cp-2/$PKI/etcd.bak
: >cp-2/$PKI/etcd
