# The file in which certificate and key are copied together is gone on one node.
spec copies
front
rm cp-3/etc/haproxy/front.pem
