# The kubelet's folder was emptied; its kubeconfig points at nothing.
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
rm cp-2/var/lib/kubelet/pki/kubelet-client-2026*.pem
