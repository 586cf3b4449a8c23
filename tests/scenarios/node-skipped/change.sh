# A node is down for repair and left out; on the others something is due.
rm -r cp-3
rm cp-1/$PKI/apiserver.{crt,key} cp-2/$PKI/ca.key
echo cp-3 >skip-node
