# shellcheck shell=bash
# Whether what a process uses is what its file holds: each sign ends well if it is, and so before anything was changed, and after it was put back. Run on this machine
# in the network of a node: $NODE, $ADDRESS, $ROOT are its name, its address and its root, and $MADE is the directory of what belongs to nobody in the cluster.

export HOME=$MADE
PKI=etc/kubernetes/pki
# shellcheck disable=SC2034 # Of those who give signs.
SERVING=var/lib/kubelet/pki/kubelet-server-current.pem

# kubectl_there ARGUMENT...: as the administrator, at the API server of this node.
kubectl_there() {
  timeout 10 "$KUBECTL" --kubeconfig "$ROOT/etc/kubernetes/admin.conf" --server "https://$ADDRESS:6443" "$@"
}

fingerprint() { openssl x509 -noout -fingerprint -sha256 2>/dev/null; }

# of_file FILE: the fingerprint of its first certificate. What a kubelet keeps is behind a link of which only the last part leads anywhere from here.
of_file() {
  local file=$ROOT/$1
  [ ! -L "$file" ] || file=$(dirname "$file")/$(basename "$(readlink "$file")")
  fingerprint <"$file"
}

# serves PORT FILE: whether what is shown at a port is what the file says.
serves() {
  local shown
  shown=$(timeout 5 openssl s_client -connect "$ADDRESS:$1" </dev/null 2>/dev/null | fingerprint)
  [ -n "$shown" ] && [ "$shown" = "$(of_file "$2")" ]
}

# accepts HOST:PORT PAIR PATH [HEADER...]: whether a client with this pair is let in.
accepts() {
  local at=$1 pair=$2 path=$3 status
  shift 3
  status=$({ printf 'GET %s HTTP/1.0\r\n' "$path"; for header in "$@"; do printf '%s\r\n' "$header"; done; printf '\r\n'; } |
    timeout 5 openssl s_client -quiet -connect "$at" -cert "$pair.crt" -key "$pair.key" 2>/dev/null | head -n 1)
  case $status in
    *' 200 '*) return 0 ;;
    *' 401 '*) return 1 ;;
    *) echo "$at answers $pair: $status" >&2 && exit 2 ;;
  esac
}

# holds FILE CA: whether that authority is one of those in the file.
holds() { grep -qxF "$(sed -n 2p "$2.crt")" "$ROOT/$1"; }

# knows_other HOST:PORT PATH: a client of the other authority is let in, if ca.crt holds that.
knows_other() {
  if holds "$PKI/ca.crt" "$MADE/other"; then accepts "$1" "$MADE/admin" "$2"; else ! accepts "$1" "$MADE/admin" "$2"; fi
}

# knows_other_proxy HOST:PORT PATH: the same of somebody for whom a front proxy of the other authority asks.
knows_other_proxy() {
  local as=('X-Remote-User: somebody' 'X-Remote-Group: system:masters')
  if holds "$PKI/front-proxy-ca.crt" "$MADE/front"; then accepts "$1" "$MADE/proxy" "$2" "${as[@]}"; else ! accepts "$1" "$MADE/proxy" "$2" "${as[@]}"; fi
}

# shows_kubelet FILE, shows_aggregated FILE: whether what the API server shows there is what is in the file. The witnesses answer with what they were shown.
shows_kubelet() { shows /api/v1/nodes/witness/proxy/ "$1"; }
shows_aggregated() { shows /apis/witness.lab.example/v1 "$1"; }
shows() {
  local shown
  shown=$(kubectl_there get --raw "$1" | fingerprint)
  [ -n "$shown" ] && [ "$shown" = "$(of_file "$2")" ]
}

unique() { echo "calibration-$(od -An -vtx1 -N 6 /dev/urandom | tr -d ' \n')"; }

make_namespace() {
  printf '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%s"}}' "$1" | kubectl_there create --raw /api/v1/namespaces -f - >/dev/null
}

# eventually COMMAND...: within five seconds.
eventually() {
  local tries
  for ((tries = 0; tries < 10; tries++)); do
    ! "$@" || return 0
    sleep 0.5
  done
  return 1
}

# leads SERVICE: whether the one of this node does.
leads() {
  kubectl_there get --raw "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/$1" | jq -er .spec.holderIdentity | grep -q "^${NODE}_"
}

# in_new_namespace QUESTION: what there is in a new namespace once the controller-manager of this node has seen it.
in_new_namespace() {
  local namespace
  namespace=$(unique)
  make_namespace "$namespace"
  leads kube-controller-manager || return
  eventually "$1" "$namespace"
}

# publishes: whether a new namespace is told to trust what is in ca.crt.
publishes() {
  local told
  told=$(in_new_namespace publishes_there) || return
  diff -q <(jq -j '.data["ca.crt"]' <<<"$told") "$ROOT/$PKI/ca.crt" >/dev/null
}

publishes_there() { kubectl_there get --raw "/api/v1/namespaces/$1/configmaps/kube-root-ca.crt" 2>/dev/null; }

# signs: whether a request that is approved is answered, if there is one certificate in ca.crt; with two nobody signs.
signs() {
  local name request all=/apis/certificates.k8s.io/v1/certificatesigningrequests
  name=$(unique)
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$MADE/$name.key" -out "$MADE/$name.csr" 2>/dev/null
  request=$(jq -n --arg name "$name" --arg request "$(base64 -w0 "$MADE/$name.csr")" '{
    apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest", metadata: { name: $name },
    spec: { request: $request, signerName: "kubernetes.io/kube-apiserver-client", usages: ["client auth"] } }')
  kubectl_there create --raw "$all" -f - <<<"$request" >/dev/null
  jq '.status.conditions = [{ type: "Approved", status: "True", reason: "Calibration", message: "by hand" }]' <<<"$request" |
    kubectl_there replace --raw "$all/$name/approval" -f - >/dev/null
  leads kube-controller-manager || return
  if [ "$(grep -c BEGIN "$ROOT/$PKI/ca.crt")" -eq 1 ]; then eventually is_signed "$all/$name"; else ! eventually is_signed "$all/$name"; fi
}

is_signed() { kubectl_there get --raw "$1" | jq -e .status.certificate >/dev/null; }

# kid: by what tokens name the key that is given.
kid() { openssl pkey -pubout -outform der | openssl dgst -sha256 -binary | base64 -w0 | tr '+/' '-_' | tr -d =; }

# verifies: whether the API server takes what the file's key signs.
verifies() { kubectl_there get --raw /openid/v1/jwks | jq -r '.keys[].kid' | grep -qxF "$(kid <"$ROOT/$PKI/sa.key")"; }

# is_signed_by_the_file TOKEN
is_signed_by_the_file() {
  local head
  head=$(tr '_-' '/+' <<<"${1%%.*}")
  while [ $((${#head} % 4)) -ne 0 ]; do head+="="; done
  [ "$(base64 -d <<<"$head" | jq -r .kid)" = "$(kid <"$ROOT/$PKI/sa.key")" ]
}

# signs_requested_tokens: whether the API server signs with the key of the file.
signs_requested_tokens() {
  local token
  token=$(printf '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}' |
    kubectl_there create --raw /api/v1/namespaces/default/serviceaccounts/default/token -f - | jq -er .status.token)
  is_signed_by_the_file "$token"
}

# signs_kept_tokens: the same of the controller-manager.
signs_kept_tokens() {
  local told
  told=$(in_new_namespace kept_token) || return
  is_signed_by_the_file "$(jq -r .data.token <<<"$told" | base64 -d)"
}

kept_token() {
  kubectl_there get --raw "/api/v1/namespaces/$1/secrets" | jq -e '.items[] | select(.type == "kubernetes.io/service-account-token")'
}

# remove_what_was_made: namespaces, requests, and what API servers have published of authorities that are in no file any more.
remove_what_was_made() {
  local kind
  for kind in namespaces certificatesigningrequests; do
    kubectl_there get "$kind" -o name | grep /calibration- | xargs -r "$KUBECTL" --kubeconfig "$ROOT/etc/kubernetes/admin.conf" --server "https://$ADDRESS:6443" delete --wait=false
  done
  kubectl_there -n kube-system patch configmap extension-apiserver-authentication --type merge -p "$(jq -n \
    --rawfile ca "$ROOT/$PKI/ca.crt" --rawfile front "$ROOT/$PKI/front-proxy-ca.crt" \
    '{ data: { "client-ca-file": $ca, "requestheader-client-ca-file": $front } }')"
}
