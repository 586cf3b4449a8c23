# The nodes that are asked have lost an authority with all that belongs to it; the one that is left out may hold it.
rm cp-[12]/$PKI/front-proxy-*
rm -r cp-3
echo cp-3 >skip-node
