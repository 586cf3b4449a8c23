# One node got a new cluster CA, and its certificates are still of the old one.
rm cp-3/$PKI/ca.key
new_ca cp-3/$PKI/ca kubernetes
