# Kubeconfigs that write the path of the kubelet's own file in other ways; a kubelet reads it all the same, and is given a new one in its place.
kubelet_rotated cp-1 $CA_STARTS 20271121234434Z
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
kubelet_rotated cp-3 20251121000000Z 20261121000000Z
for node in cp-1 cp-3; do
  sed -i 's| /var/lib/kubelet/| ../../var/lib/kubelet/|' $node/$KUBERNETES/kubelet.conf
done
sed -i 's| /var/lib/kubelet/| /var//lib/./kubelet/|' cp-2/$KUBERNETES/kubelet.conf
