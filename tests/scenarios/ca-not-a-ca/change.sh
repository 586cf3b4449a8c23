# A leaf certificate was put in the place of a CA's.
cat cp-1/$PKI/front-proxy-client.crt >cp-1/$PKI/front-proxy-ca.crt
