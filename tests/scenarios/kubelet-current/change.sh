# Every kubelet renews its own certificate, and one of them is about to.
kubelet_rotated cp-1 $CA_STARTS 20271121234434Z
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
kubelet_rotated cp-3 $CA_STARTS $SOON_ENDS
