# One node was reset and got a new front-proxy CA of the same name, with a client certificate from it.
rm cp-3/$PKI/front-proxy-ca.key
new_ca cp-3/$PKI/front-proxy-ca front-proxy-ca
reissue cp-3/$PKI/front-proxy-client cp-3/$PKI/front-proxy-ca $CA_STARTS 20271121234434Z
