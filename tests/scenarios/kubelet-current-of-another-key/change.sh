# A backup of another node was unpacked over the kubelet's file: the key is not the certificate's.
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
{ cat "$work/user.crt" cp-1/$PKI/apiserver.key; } >"$(echo cp-2/var/lib/kubelet/pki/kubelet-client-2026*.pem)"
