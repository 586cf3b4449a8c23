# Two StarlingX controllers: starlingx.sh DAYS SERVER_DAYS. The standby controller takes etcd's pairs over from the active one's configuration.
. "$(dirname "$0")/lib.sh"
days=$1 server_days=$2
floating=10.0.0.10

make_kubeadm controller-0 $floating 3650 "$days" controller-0=10.0.0.11 controller-1=10.0.0.12

etcd=$work/etcd
both=serverAuth,clientAuth
BITS=4096
make_ca "$etcd/ca.crt" "$etcd/ca.key" etcd 3650 4096
make_leaf "$etcd/etcd-server.crt" "$etcd/etcd-server.key" "$etcd/ca.crt" "$etcd/ca.key" /CN=etcd-server "$server_days" $both "IP:$floating,IP:127.0.0.1"
make_leaf "$etcd/etcd-client.crt" "$etcd/etcd-client.key" "$etcd/ca.crt" "$etcd/ca.key" /CN=root "$days" $both DNS:root

for controller in controller-0 controller-1; do
  accounts "$controller"
  mkdir -p "$controller/etc/platform"
  echo nodetype=controller >"$controller/etc/platform/platform.conf"
  cp -a "$etcd" "$controller/etc/etcd"
  make_leaf "$controller/$PKI/apiserver-etcd-client.crt" "$controller/$PKI/apiserver-etcd-client.key" "$etcd/ca.crt" "$etcd/ca.key" \
    /CN=apiserver-etcd-client "$days" $both "IP:$floating,IP:127.0.0.1"
  sed -n 's/.*client-certificate-data: //p' "$controller/etc/kubernetes/admin.conf" | base64 -d >"$controller/$PKI/haproxy_client.pem"
  sed -n 's/.*client-key-data: //p' "$controller/etc/kubernetes/admin.conf" | base64 -d >>"$controller/$PKI/haproxy_client.pem"
  chmod 600 "$controller/$PKI/haproxy_client.pem"
done
# Only the active controller has the configuration mounted.
mkdir -p controller-0/opt/platform/config/24.09/etcd
cp -p "$etcd"/etcd-server.* "$etcd"/etcd-client.* controller-0/opt/platform/config/24.09/etcd/
