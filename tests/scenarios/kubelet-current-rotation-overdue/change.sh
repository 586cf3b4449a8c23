# A kubelet whose requests nobody signs: it shows its old certificate to the end, which is near. The others are long before the time at which they renew theirs.
kubelet_rotated cp-1 $CA_STARTS 20271121234434Z
kubelet_rotated cp-2 $CA_STARTS $SOON_ENDS
kubelet_rotated cp-3 20251210000000Z 20261205000000Z
