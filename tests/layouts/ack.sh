# Three masters of an ACK dedicated cluster: ack.sh CA_DAYS DAYS. The archive that the installer makes is unpacked on every master.
. "$(dirname "$0")/lib.sh"
ca_days=$1 days=$2

make_kubeadm master-1 10.0.0.10 "$ca_days" "$days" master-1=10.0.0.11 master-2=10.0.0.12 master-3=10.0.0.13

cert=$work/cert
both=serverAuth,clientAuth
make_ca "$cert/ca.pem" "$cert/ca-key.pem" CA "$ca_days"
make_leaf "$cert/etcd-server.pem" "$cert/etcd-server-key.pem" "$cert/ca.pem" "$cert/ca-key.pem" /CN=etcd-server "$days" $both \
  "IP:10.0.0.11,IP:10.0.0.12,IP:10.0.0.13,DNS:ext1.example.com,DNS:coreos1.local,DNS:coreos1"
make_leaf "$cert/etcd-client.pem" "$cert/etcd-client-key.pem" "$cert/ca.pem" "$cert/ca-key.pem" /CN=etcd-client "$days" $both
make_ca "$cert/peer-ca.pem" "$cert/peer-ca-key.pem" Peer-CA "$ca_days"
for number in 1 2 3; do
  member=10.0.0.1$number-name-$number
  make_leaf "$cert/$member.pem" "$cert/$member-key.pem" "$cert/peer-ca.pem" "$cert/peer-ca-key.pem" "/CN=$member" "$days" $both \
    "IP:10.0.0.1$number,DNS:$member.local,DNS:$member"
done
echo '{"signing":{"default":{"expiry":"438000h"}}}' >"$cert/ca-config.json"

for master in master-1 master-2 master-3; do
  accounts "$master"
  mkdir -p "$master/var/lib/etcd" "$master/$PKI/etcd" "$master/$PKI/dashboard"
  cp -a "$cert" "$master/var/lib/etcd/cert"
  if [ "$(id -u)" = 0 ]; then chown -R 997:997 "$master/var/lib/etcd"; fi
  cp "$cert/ca.pem" "$cert/etcd-client.pem" "$cert/etcd-client-key.pem" "$master/$PKI/etcd/"
  chmod 600 "$master/$PKI/etcd/etcd-client-key.pem"
  cp -p "$master/$PKI/apiserver.crt" "$master/$PKI/dashboard/dashboard.crt"
  cp -p "$master/$PKI/apiserver.key" "$master/$PKI/dashboard/dashboard.key"
done
