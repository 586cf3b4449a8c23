# After an incident everything of the etcd CA is to be reissued; one certificate was already.
reissue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca 20261125000000Z 20271125000000Z
