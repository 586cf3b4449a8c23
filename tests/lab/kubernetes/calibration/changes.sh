# shellcheck shell=bash disable=SC2154
# What is changed on a node while its processes run: sourced after tests/scenarios/lib.sh, in the directory that is the node's root. Each file takes the place of the
# one that is there by its name, as pki does it. $MADE is the directory of what belongs to nobody in the cluster.

START=$(date -u -d '1 hour ago' +%Y%m%d%H%M%SZ)
END=$(date -u -d '9 days' +%Y%m%d%H%M%SZ)

# make_others: the authorities that nobody trusts yet, with a client of each that may do everything.
make_others() {
  new_ca "$MADE/other" other-ca "$START" "$END"
  issue "$MADE/admin" "$MADE/other" /O=system:masters/CN=calibration "$START" "$END" extendedKeyUsage=clientAuth
  new_ca "$MADE/front" other-front-proxy-ca "$START" "$END"
  issue "$MADE/proxy" "$MADE/front" /CN=front-proxy-client "$START" "$END" extendedKeyUsage=clientAuth
  new_ca "$MADE/stranger" stranger "$START" "$END"
  new_key "$MADE/witness"
  issue "$MADE/witness" "$MADE/stranger" /CN=witness "$START" "$END" extendedKeyUsage=serverAuth subjectAltName=IP:10.78.0.1
}

# keep TO PATH...: copies of what is to be put back.
keep() {
  mkdir -p "$1"
  cp -a --parents -t "$1" "${@:2}"
}

# put_back FROM: they take their places again.
put_back() {
  local to=$PWD
  (cd "$1" && find . ! -type d -exec cp -a --parents --remove-destination -t "$to" {} +)
}

# put FILE PATH: with the mode of what is there.
put() {
  local mode
  mode=$(stat -c %a "$2")
  install -m "$mode" "$1" "$2.next"
  mv "$2.next" "$2"
}

# renew PATH CA USAGE: a certificate like the one that is there, with a key of its own.
renew() {
  local subject names
  subject=$(openssl x509 -in "$1.crt" -noout -subject -nameopt compat | sed 's/^subject= *//')
  names=$(openssl x509 -in "$1.crt" -noout -ext subjectAltName 2>/dev/null | sed -n '2{s/IP Address/IP/g;s/[ \t]//g;p}')
  rm -f "$work/renewed.key"
  issue "$work/renewed" "$2" "$subject" "$START" "$END" "extendedKeyUsage=$3" ${names:+"subjectAltName=$names"}
  put "$work/renewed.key" "$1.key"
  put "$work/renewed.crt" "$1.crt"
}

# also_trust FILE CA: after what is in it.
also_trust() {
  cat "$1" "$2.crt" >"$work/bundle"
  put "$work/bundle" "$1"
}

# extend_ca: the cluster's CA with another end, by the same key.
extend_ca() {
  cp "$PKI/ca.key" "$work/ca.key"
  new_ca "$work/ca" kubernetes "$START" "$(date -u -d '19 years' +%Y%m%d%H%M%SZ)"
  put "$work/ca.crt" "$PKI/ca.crt"
}

# other_service_account_key: the new one signs, both are trusted.
other_service_account_key() {
  new_key "$work/sa" -algorithm RSA -pkeyopt rsa_keygen_bits:2048
  openssl pkey -in "$work/sa.key" -pubout -out "$work/sa.pub"
  cat "$PKI/sa.pub" >>"$work/sa.pub"
  put "$work/sa.pub" "$PKI/sa.pub"
  put "$work/sa.key" "$PKI/sa.key"
}

# client_of KUBECONFIG CA: its client is one of that authority.
client_of() {
  cp "$1" "$work/kubeconfig"
  reissue_kubeconfig "$work/kubeconfig" "$2" "$START" "$END"
  put "$work/kubeconfig" "$1"
}

# trusting_a_stranger KUBECONFIG: and nobody else.
trusting_a_stranger() {
  cp "$1" "$work/kubeconfig"
  kubeconfig_set "$work/kubeconfig" certificate-authority-data "$MADE/stranger.crt"
  put "$work/kubeconfig" "$1"
}

# kubelet_of_a_stranger, another_serving_certificate: the same of the files in which a kubelet keeps its certificates with their keys.
kubelet_of_a_stranger() { kept_by_kubelet kubelet-client-current.pem; }
another_serving_certificate() { kept_by_kubelet kubelet-server-current.pem; }

# kept_by_kubelet LINK: of the file to which a kubelet points that link, as kubelets name such files.
kept_by_kubelet() {
  local pki=var/lib/kubelet/pki current
  current=$pki/$(basename "$(readlink "$pki/$1")")
  openssl x509 -in "$current" -out "$work/kubelet.crt"
  openssl pkey -in "$current" -out "$work/kubelet.key"
  reissue "$work/kubelet" "$MADE/stranger" "$START" "$END"
  cat "$work/kubelet.crt" "$work/kubelet.key" >"$work/kubelet.pem"
  put "$work/kubelet.pem" "$current"
}
