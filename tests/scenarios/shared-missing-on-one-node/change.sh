# One node lacks the pair that all share, and what is copied from it.
spec copies
front
rm -r cp-2/etc/front cp-2/etc/haproxy
