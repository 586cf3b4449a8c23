# The kubeconfig still trusts the CA from before the cluster was made anew.
new_ca "$work/old" kubernetes
kubeconfig_set cp-2/$KUBERNETES/controller-manager.conf certificate-authority-data "$work/old.crt"
