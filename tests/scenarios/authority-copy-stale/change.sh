# The second file with the CA's certificate holds another CA on one node, and is gone on another.
spec copies
front
new_ca "$work/other" kubernetes
cp "$work/other.crt" cp-1/etc/ssl/kubernetes-ca.pem
rm cp-2/etc/ssl/kubernetes-ca.pem
