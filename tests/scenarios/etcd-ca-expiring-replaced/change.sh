# The CA of etcd ends in 19 days, what it issued after it, and another key is to take its place.
etcd_ca_ends_soon
