# Kubelets whose configuration says that they do not renew their certificate: nobody does, unless a plan does. On cp-1 it says that they do.
kubelet_rotated cp-1 $CA_STARTS $SOON_ENDS
kubelet_rotated cp-2 $CA_STARTS 20271121234434Z
kubelet_rotated cp-3 $CA_STARTS $SOON_ENDS
echo '{ apiVersion: kubelet.config.k8s.io/v1beta1, kind: KubeletConfiguration, rotateCertificates: true }' >cp-1/var/lib/kubelet/config.yaml
for node in cp-2 cp-3; do
  echo '{ apiVersion: kubelet.config.k8s.io/v1beta1, kind: KubeletConfiguration }' >$node/var/lib/kubelet/config.yaml
done
