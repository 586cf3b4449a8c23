# A node was switched off for a year; its kubelet cannot ask for a new certificate any more.
kubelet_rotated cp-1 $CA_STARTS 20271121234434Z
kubelet_rotated cp-2 20251121000000Z 20261121000000Z
kubelet_rotated cp-3 $CA_STARTS 20271121234434Z
