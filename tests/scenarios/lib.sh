# What the scenarios share. The working directory is the parent of the nodes' folders; paths of certificates are given without .crt and .key.
# Certificates are made as a person would make them by hand: with openssl, from the authority's files on a node.

export LC_ALL=C
umask 022

# spec NAME: takes one of the specs that several scenarios have.
spec() { cat "$(dirname "${BASH_SOURCE[0]}")/$1.yaml" >spec.yaml; }

NODES=(cp-1 cp-2 cp-3)
KUBERNETES=etc/kubernetes
PKI=etc/kubernetes/pki

# Dates as `openssl ca` wants them.
CA_STARTS=20261121234434Z
SOON_ENDS=20261220000000Z

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What keys are made of: P-256 is made in no time.
algorithm=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)
# rsa_keys: from here on they are of RSA-2048, as kubeadm's are, for what is told of them.
rsa_keys() { algorithm=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048); }

# new_key PATH [ALGORITHM...]: a key like the others, or of another algorithm.
new_key() {
  local path=$1
  shift
  if [ $# -eq 0 ]; then set -- "${algorithm[@]}"; fi
  (umask 077 && openssl genpkey "$@" -out "$path.key" 2>/dev/null)
}

# new_ca PATH COMMON_NAME [START END]: a self-signed CA beside its key, which is made unless it is there.
new_ca() {
  local path=$1 name=$2 start=${3:-$CA_STARTS} end=${4:-20361118234434Z}
  [ -e "$path.key" ] || new_key "$path"
  # Names in Go's encoding: Go compares issuer and subject byte by byte (crypto/x509 verify.go).
  printf '[req]\nstring_mask = nombstr\ndistinguished_name = name\n[name]\n' >"$work/request.cnf"
  openssl req -new -config "$work/request.cnf" -key "$path.key" -subj "/CN=$name" -out "$work/ca.csr"
  sign "$path" "$work/ca.csr" "$start" "$end" "-selfsign -keyfile $path.key" \
    "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign" "basicConstraints=critical,CA:TRUE" "subjectKeyIdentifier=hash"
}

# issue PATH CA SUBJECT START END EXTENSION...: a certificate for the key at PATH, which is made unless it is there.
issue() {
  local path=$1 ca=$2 subject=$3 start=$4 end=$5
  shift 5
  [ -e "$path.key" ] || new_key "$path"
  openssl req -new -key "$path.key" -subj "$subject" -out "$work/leaf.csr"
  sign "$path" "$work/leaf.csr" "$start" "$end" "-cert $ca.crt -keyfile $ca.key" \
    "keyUsage=critical,digitalSignature,keyEncipherment" "authorityKeyIdentifier=keyid" "$@"
}

# reissue PATH CA START END: the same subject, names, usages and key, with other dates or by another CA.
reissue() {
  local path=$1 ca=$2 start=$3 end=$4
  openssl x509 -x509toreq -copy_extensions copyall -in "$path.crt" -key "$path.key" -out "$work/leaf.csr" 2>/dev/null
  sign "$path" "$work/leaf.csr" "$start" "$end" "-cert $ca.crt -keyfile $ca.key" "authorityKeyIdentifier=keyid"
}

# sign PATH REQUEST START END SIGNER EXTENSION...: with SHA-256, or the hash that MD names.
sign() {
  local path=$1 request=$2 start=$3 end=$4 signer=$5
  shift 5
  printf '%s\n' "$@" >"$work/extensions"
  : >"$work/index.txt"
  cat >"$work/ca.cnf" <<CONFIGURATION
[ca]
default_ca = ca_default
[ca_default]
database = $work/index.txt
new_certs_dir = $work
default_md = ${MD:-sha256}
policy = anything
preserve = yes
unique_subject = no
rand_serial = yes
copy_extensions = copy
[anything]
organizationName = optional
commonName = optional
CONFIGURATION
  # shellcheck disable=SC2086 # the signer is two options and two paths
  openssl ca -batch -config "$work/ca.cnf" -in "$request" -out "$work/new.crt" -startdate "$start" -enddate "$end" \
    -notext -extfile "$work/extensions" $signer 2>"$work/log" || { cat "$work/log" >&2; return 1; }
  # Written over, not replaced, so that owner and mode stay.
  cat "$work/new.crt" >"$path.crt"
}

# kubeconfig_get FILE FIELD: the PEM behind one of the base64 fields.
kubeconfig_get() { sed -n "s/^ *$2: //p" "$1" | base64 -d; }

# kubeconfig_set FILE FIELD PEM_FILE
kubeconfig_set() {
  local data
  data=$(base64 -w0 "$3")
  sed -i "s|^\( *$2:\).*|\1 $data|" "$1"
}

# reissue_kubeconfig FILE CA START END: the embedded certificate with other dates, its key kept.
reissue_kubeconfig() {
  kubeconfig_get "$1" client-certificate-data >"$work/user.crt"
  kubeconfig_get "$1" client-key-data >"$work/user.key"
  reissue "$work/user" "$2" "$3" "$4"
  kubeconfig_set "$1" client-certificate-data "$work/user.crt"
}

# kubelet_rotated NODE START END: what the kubelet does after its first rotation: its own file, and a kubeconfig that points at it.
kubelet_rotated() {
  local node=$1 conf=$1/$KUBERNETES/kubelet.conf pki=$1/var/lib/kubelet/pki
  mkdir -p "$pki"
  kubeconfig_get "$conf" client-certificate-data >"$work/user.crt"
  kubeconfig_get "$conf" client-key-data >"$work/user.key"
  reissue "$work/user" "$node/$PKI/ca" "$2" "$3"
  (umask 077 && cat "$work/user.crt" "$work/user.key" >"$pki/kubelet-client-2026-11-22-00-00-00.pem")
  ln -s kubelet-client-2026-11-22-00-00-00.pem "$pki/kubelet-client-current.pem"
  sed -i -e 's|client-certificate-data:.*|client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem|' \
    -e 's|client-key-data:.*|client-key: /var/lib/kubelet/pki/kubelet-client-current.pem|' "$conf"
}

# add_worker NODE: a node with the kubelet's files only, as `kubeadm join` leaves it.
add_worker() {
  local node=$1
  mkdir -p "$node/$PKI" "$node/$KUBERNETES/manifests"
  cp cp-1/$PKI/ca.crt "$node/$PKI/ca.crt"
  new_key "$work/worker"
  issue "$work/worker" cp-1/$PKI/ca "/O=system:nodes/CN=system:node:$node" $CA_STARTS 20271121234434Z "extendedKeyUsage=clientAuth"
  sed "s/system:node:cp-1/system:node:$node/g" cp-1/$KUBERNETES/kubelet.conf >"$node/$KUBERNETES/kubelet.conf"
  chmod 0600 "$node/$KUBERNETES/kubelet.conf"
  kubeconfig_set "$node/$KUBERNETES/kubelet.conf" client-certificate-data "$work/worker.crt"
  kubeconfig_set "$node/$KUBERNETES/kubelet.conf" client-key-data "$work/worker.key"
}

# front [END]: a pair that all nodes share, with every copy that the specs of these scenarios declare, all as they should be.
front() {
  local node
  mkdir -p cp-1/etc/front
  issue cp-1/etc/front/tls cp-1/$PKI/ca /CN=front.prod-eu1.example $CA_STARTS "${1:-20271121234434Z}" \
    "extendedKeyUsage=serverAuth" "subjectAltName=DNS:front.prod-eu1.example"
  for node in "${NODES[@]}"; do
    mkdir -p "$node/etc/front" "$node/etc/ssl" "$node/etc/haproxy" "$node/home/ops/.kube"
    [ "$node" = cp-1 ] || cp -p cp-1/etc/front/tls.crt cp-1/etc/front/tls.key "$node/etc/front/"
    front_copy "$node"
    cp -p "$node/$PKI/ca.crt" "$node/etc/ssl/kubernetes-ca.pem"
    cp -p "$node/$KUBERNETES/admin.conf" "$node/home/ops/.kube/config"
  done
}

# front_copy NODE: the combined file of the pair, as HAProxy reads it.
front_copy() { (umask 077 && cat "$1/etc/front/tls.crt" "$1/etc/front/tls.key" >"$1/etc/haproxy/front.pem"); }

# fingerprint CERTIFICATE: as specs name it.
fingerprint() { openssl x509 -in "$1" -outform DER | sha256sum | cut -d ' ' -f 1; }

# distrust PLACEHOLDER CERTIFICATE: puts a CA that was made here into the spec, in the place of a word.
distrust() { sed -i "s/$1/$(fingerprint "$2")/" spec.yaml; }

# etcd_accounts: every node knows the user to whom etcd's files belong where etcd is no static pod.
etcd_accounts() {
  local node
  for node in "${NODES[@]}"; do
    printf 'root:x:0:0:root:/root:/bin/sh\netcd:x:997:997::/var/lib/etcd:/sbin/nologin\n' >"$node/etc/passwd"
    printf 'root:x:0:\netcd:x:997:\n' >"$node/etc/group"
  done
}

# without_kubeadms_etcd: kubeadm's files, as beside an etcd that is not kubeadm's.
without_kubeadms_etcd() {
  local node
  for node in "${NODES[@]}"; do rm -r "$node/$PKI/etcd" "$node/$PKI"/apiserver-etcd-client.*; done
}

# as_cfssl FROM TO: a pair under the names that cfssl gives it, without what openssl calls it.
as_cfssl() {
  install -m 644 "$1.crt" "$2.pem"
  install -m 600 "$1.key" "$2-key.pem"
}

# ack DIRECTORY [CA_END]: etcd's files on three masters of ACK, made once and unpacked on each of them.
ack() {
  local directory=$1 end=${2:-20361118234434Z} both=extendedKeyUsage=serverAuth,clientAuth cert=$work/cert node number
  mkdir -p "$cert"
  without_kubeadms_etcd
  etcd_accounts
  new_ca "$work/ca" CA $CA_STARTS "$end"
  new_ca "$work/peer-ca" Peer-CA $CA_STARTS "$end"
  issue "$work/etcd-server" "$work/ca" /CN=etcd-server $CA_STARTS 20271121234434Z "$both" "subjectAltName=IP:10.0.0.11,IP:10.0.0.12,IP:10.0.0.13"
  issue "$work/etcd-client" "$work/ca" /CN=etcd-client $CA_STARTS 20271121234434Z "$both"
  for number in 1 2 3; do
    local member=10.0.0.1$number-name-$number
    issue "$work/$member" "$work/peer-ca" "/CN=$member" $CA_STARTS 20271121234434Z "$both" \
      "subjectAltName=IP:10.0.0.1$number,DNS:$member,DNS:$member.local"
    as_cfssl "$work/$member" "$cert/$member"
  done
  for node in ca peer-ca etcd-server etcd-client; do as_cfssl "$work/$node" "$cert/$node"; done
  for node in "${NODES[@]}"; do
    mkdir -p "$node/$(dirname "$directory")" "$node/$PKI/etcd"
    cp -rp "$cert" "$node/$directory"
    chown -R 997:997 "$node/$directory"
    cp -p "$cert"/ca.pem "$cert"/etcd-client*.pem "$node/$PKI/etcd/"
  done
}

# starlingx: etcd's files on controllers of StarlingX, the pairs the same on each.
starlingx() {
  local both=extendedKeyUsage=serverAuth,clientAuth at=IP:10.0.0.10,IP:127.0.0.1 node
  without_kubeadms_etcd
  mkdir -p cp-1/etc/etcd
  new_ca cp-1/etc/etcd/ca etcd
  issue cp-1/etc/etcd/etcd-server cp-1/etc/etcd/ca /CN=etcd-server $CA_STARTS 20271121234434Z "$both" "subjectAltName=$at"
  issue cp-1/etc/etcd/etcd-client cp-1/etc/etcd/ca /CN=root $CA_STARTS 20271121234434Z "$both" "subjectAltName=DNS:root"
  for node in "${NODES[@]}"; do
    [ "$node" = cp-1 ] || cp -rp cp-1/etc/etcd "$node/etc/etcd"
    issue "$node/$PKI/apiserver-etcd-client" cp-1/etc/etcd/ca /CN=apiserver-etcd-client $CA_STARTS 20271121234434Z "$both" "subjectAltName=$at"
  done
}

# plain_etcd: the files of an etcd without Kubernetes.
plain_etcd() {
  local node number pki=etc/etcd/pki
  etcd_accounts
  mkdir -p cp-1/$pki
  new_ca cp-1/$pki/ca etcd-ca
  for number in 1 2 3; do
    node=cp-$number
    rm -r "$node/$KUBERNETES"
    mkdir -p "$node/$pki"
    [ "$node" = cp-1 ] || cp -p cp-1/$pki/ca.crt cp-1/$pki/ca.key "$node/$pki/"
    local names="subjectAltName=DNS:$node,DNS:localhost,IP:10.0.0.1$number,IP:127.0.0.1,IP:::1"
    issue "$node/$pki/server" cp-1/$pki/ca "/CN=$node" $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth,clientAuth "$names"
    issue "$node/$pki/peer" cp-1/$pki/ca "/CN=$node" $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth,clientAuth "$names"
    issue "$node/$pki/client" cp-1/$pki/ca /CN=etcd-client $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth
    chown 997:997 "$node/$pki"/server.* "$node/$pki"/peer.*
  done
}

# etcd_ca_ends_soon: the CA of etcd ends in 19 days, and what it issued after it.
etcd_ca_ends_soon() {
  local node leaf
  cp cp-1/$PKI/etcd/ca.key "$work/ca.key"
  new_ca "$work/ca" etcd-ca $CA_STARTS $SOON_ENDS
  for node in "${NODES[@]}"; do
    cat "$work/ca.crt" >"$node/$PKI/etcd/ca.crt"
    for leaf in apiserver-etcd-client etcd/healthcheck-client etcd/peer etcd/server; do
      reissue "$node/$PKI/$leaf" "$work/ca" $CA_STARTS 20271121234435Z
    done
  done
}
