# A CA that is none of the cluster's is in the file by which the API server of one node judges clients. Elsewhere a certificate is about to end.
# It is the file with which its controller manager signs, too, and what that one shows is about to end.
new_ca "$work/other" other-cluster
cat "$work/other.crt" >>cp-1/$PKI/ca.crt
reissue cp-3/$PKI/apiserver cp-3/$PKI/ca "$CA_STARTS" "$SOON_ENDS"
reissue_kubeconfig cp-1/$KUBERNETES/controller-manager.conf cp-1/$PKI/ca "$CA_STARTS" "$SOON_ENDS"
