# The spec names an own root for etcd, and the controllers run on the one that the installer made: StarlingX itself has no way from one to the other.
rsa_keys
starlingx
mkdir roots
new_ca roots/etcd-root example-etcd-root
