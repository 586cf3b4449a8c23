# A kubeconfig trusts servers of another cluster too: its owner can deceive whoever uses it, and is let in nowhere.
new_ca "$work/other" other-cluster
cat cp-2/$PKI/ca.crt "$work/other.crt" >"$work/both.crt"
kubeconfig_set cp-2/$KUBERNETES/scheduler.conf certificate-authority-data "$work/both.crt"
