# Three workers whose kubelets are to be restarted, two of them at once: a restart ends only once another worker's has begun.
rsa_keys
for node in w-1 w-2 w-3; do
  add_worker $node
  reissue_kubeconfig $node/$KUBERNETES/kubelet.conf cp-1/$PKI/ca 20251121000000Z 20261121000000Z
  cat >$node/restart <<'RESTART'
touch etc/restarted
for _ in $(seq 200); do
  [ "$(find ../w-*/etc -name restarted | wc -l)" -lt 2 ] || exit 0
  sleep 0.05
done
exit 1
RESTART
done
