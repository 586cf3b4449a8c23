# The CA of an etcd without Kubernetes is distrusted.
rsa_keys
plain_etcd
distrust ETCD_CA cp-1/etc/etcd/pki/ca.crt
