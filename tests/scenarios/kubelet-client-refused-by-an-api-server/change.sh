# One API server trusts a second CA, and a certificate of that CA is presented to all of them.
new_ca "$work/other" kubernetes-2026
cat "$work/other.crt" >>cp-1/$PKI/ca.crt
reissue_kubeconfig cp-1/$KUBERNETES/admin.conf "$work/other" $CA_STARTS 20271121234434Z
