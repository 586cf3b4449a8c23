# The front-proxy CA was never copied to one node.
rm cp-3/$PKI/front-proxy-ca.crt cp-3/$PKI/front-proxy-ca.key
