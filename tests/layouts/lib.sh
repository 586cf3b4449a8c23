# What the layouts share. The working directory is the parent of the nodes' folders. Everything is made with openssl, as the installers do it.

export LC_ALL=C
set -eu
umask 022

PKI=etc/kubernetes/pki
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# make_ca CERTIFICATE KEY COMMON_NAME DAYS [BITS]
make_ca() {
  mkdir -p "$(dirname "$1")"
  (umask 077 && openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${5:-2048}" -out "$2" 2>/dev/null)
  openssl req -x509 -new -key "$2" -subj "/CN=$3" -days "$4" -out "$1" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign" 2>/dev/null
}

# make_leaf CERTIFICATE KEY CA CA_KEY SUBJECT DAYS USAGES [NAMES]
make_leaf() {
  mkdir -p "$(dirname "$1")" "$(dirname "$2")"
  (umask 077 && openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${BITS:-2048}" -out "$2" 2>/dev/null)
  {
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "basicConstraints=critical,CA:FALSE"
    echo "extendedKeyUsage=$7"
    echo "authorityKeyIdentifier=keyid"
    if [ -n "${8:-}" ]; then echo "subjectAltName=$8"; fi
  } >"$work/extensions"
  openssl req -new -key "$2" -subj "$5" -out "$work/leaf.csr"
  openssl x509 -req -in "$work/leaf.csr" -CA "$3" -CAkey "$4" -set_serial "0x$(openssl rand -hex 8)" -days "$6" \
    -extfile "$work/extensions" -out "$1" 2>/dev/null
}

# make_kubeconfig FILE USER SUBJECT DAYS SERVER CA CA_KEY
make_kubeconfig() {
  make_leaf "$work/user.crt" "$work/user.key" "$6" "$7" "$3" "$4" clientAuth
  (umask 077 && cat >"$1" <<KUBECONFIG
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $(base64 -w0 "$6")
    server: $5
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: $2
  name: $2@kubernetes
current-context: $2@kubernetes
kind: Config
preferences: {}
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$work/user.crt")
    client-key-data: $(base64 -w0 "$work/user.key")
KUBECONFIG
  )
}

# make_kubeadm FIRST ENDPOINT CA_DAYS DAYS NODE=ADDRESS...: what kubeadm 1.20 makes on each control plane, etcd left out.
make_kubeadm() {
  local first=$1 endpoint=$2 ca_days=$3 days=$4
  shift 4
  make_ca "$first/$PKI/ca.crt" "$first/$PKI/ca.key" kubernetes "$ca_days"
  make_ca "$first/$PKI/front-proxy-ca.crt" "$first/$PKI/front-proxy-ca.key" front-proxy-ca "$ca_days"
  (umask 077 && openssl genrsa -traditional -out "$first/$PKI/sa.key" 2048 2>/dev/null && openssl rsa -in "$first/$PKI/sa.key" -pubout -out "$first/$PKI/sa.pub" 2>/dev/null)
  local entry node address ca=$first/$PKI/ca
  for entry in "$@"; do
    node=${entry%%=*} address=${entry#*=}
    mkdir -p "$node/$PKI"
    if [ "$node" != "$first" ]; then cp -p "$first/$PKI"/{ca,front-proxy-ca}.{crt,key} "$first/$PKI"/sa.{key,pub} "$node/$PKI/"; fi
    make_leaf "$node/$PKI/apiserver.crt" "$node/$PKI/apiserver.key" "$ca.crt" "$ca.key" /CN=kube-apiserver "$days" serverAuth \
      "DNS:$node,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1,IP:$address,IP:$endpoint"
    make_leaf "$node/$PKI/apiserver-kubelet-client.crt" "$node/$PKI/apiserver-kubelet-client.key" "$ca.crt" "$ca.key" \
      /O=system:masters/CN=kube-apiserver-kubelet-client "$days" clientAuth
    make_leaf "$node/$PKI/front-proxy-client.crt" "$node/$PKI/front-proxy-client.key" "$first/$PKI/front-proxy-ca.crt" "$first/$PKI/front-proxy-ca.key" \
      /CN=front-proxy-client "$days" clientAuth
    local config=$node/etc/kubernetes
    make_kubeconfig "$config/admin.conf" kubernetes-admin /O=system:masters/CN=kubernetes-admin "$days" "https://$endpoint:6443" "$ca.crt" "$ca.key"
    make_kubeconfig "$config/controller-manager.conf" system:kube-controller-manager /CN=system:kube-controller-manager "$days" "https://$address:6443" "$ca.crt" "$ca.key"
    make_kubeconfig "$config/scheduler.conf" system:kube-scheduler /CN=system:kube-scheduler "$days" "https://$address:6443" "$ca.crt" "$ca.key"
    make_kubeconfig "$config/kubelet.conf" "system:node:$node" "/O=system:nodes/CN=system:node:$node" "$days" "https://$endpoint:6443" "$ca.crt" "$ca.key"
  done
}

# Accounts, so that files can belong to etcd.
accounts() {
  mkdir -p "$1/etc" "$1/var/lib"
  printf 'root:x:0:0:root:/root:/bin/sh\netcd:x:997:997::/var/lib/etcd:/sbin/nologin\n' >"$1/etc/passwd"
  printf 'root:x:0:\netcd:x:997:\n' >"$1/etc/group"
}
