# The CA of etcd ends in 19 days, and what it issued after it.
etcd_ca_ends_soon
