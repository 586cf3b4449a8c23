# The CA of etcd ends in 19 days, and what it issued after it.
spec expiring-etcd-ca
etcd_ca_ends_soon
