# The CA of etcd ends in 19 days.
cp cp-1/$PKI/etcd/ca.key "$work/ca.key"
new_ca "$work/ca" etcd-ca $CA_STARTS $SOON_ENDS
for node in "${NODES[@]}"; do cat "$work/ca.crt" >"$node/$PKI/etcd/ca.crt"; done
