# Somebody merged another cluster into admin.conf, and made its context the current one. What he has for this cluster is about to end.
conf=cp-1/$KUBERNETES/admin.conf
reissue_kubeconfig $conf cp-1/$PKI/ca $CA_STARTS $SOON_ENDS
new_ca "$work/other" kubernetes
issue "$work/dev" "$work/other" /CN=dev $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
sed -i -e "s/^clusters:/&\n- name: dev\n  cluster: { server: 'https:\/\/dev:6443', certificate-authority-data: $(base64 -w0 "$work/other.crt") }/" \
  -e 's/^contexts:/&\n- name: dev\n  context: { cluster: dev, user: dev }/' -e 's/^current-context:.*/current-context: dev/' \
  -e "s/^users:/&\n- name: dev\n  user: { client-certificate-data: $(base64 -w0 "$work/dev.crt"), client-key-data: $(base64 -w0 "$work/dev.key") }/" $conf
