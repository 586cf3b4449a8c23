# The file with which every controller manager signs holds a second certificate, and what a controller manager shows is about to end on one node.
new_ca "$work/other" other-cluster
cp cp-1/$PKI/ca.crt "$work/ca.crt" && cp cp-1/$PKI/ca.key "$work/ca.key"
for node in "${NODES[@]}"; do cat "$work/other.crt" >>"$node/$PKI/ca.crt"; done
reissue cp-2/$PKI/front-proxy-client cp-2/$PKI/front-proxy-ca "$CA_STARTS" "$SOON_ENDS"
reissue cp-2/$PKI/apiserver "$work/ca" "$CA_STARTS" "$SOON_ENDS"
