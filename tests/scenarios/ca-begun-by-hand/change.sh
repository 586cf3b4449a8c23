# A rotation of the cluster's CA begun by hand: every node trusts both, and one already signs with the new one.
new_ca "$work/next" kubernetes-2026
for node in "${NODES[@]}"; do cat "$work/next.crt" >>"$node/$PKI/ca.crt"; done
reissue cp-1/$PKI/apiserver-kubelet-client "$work/next" 20261130000000Z 20271130000000Z
