# shellcheck shell=bash
# What the Kubernetes lab's scripts share. Sourced by them, never run by itself.
#
# Its names begin with `pki-kube` where those of the lab beside it begin with `pki-lab`, and its network is 10.78.0.0/24: both may be up at
# the same time. Further names:
#
#   $LAB/downloads, $LAB/built   of `build`; kept by `down`
#   $LAB/base-kubernetes         what lies over $LAB/base-bookworm: programs, units, images; kept by `down`
#   $LAB/nodes/kubeconfig        the administrator's, for kubectl on this machine

# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
name_lab PKI_LAB_KUBERNETES /var/lib/pki-lab-kubernetes pki-kube 10.78.0 tests/lab/kubernetes
# shellcheck disable=SC2034 # For `build` and `up`.
BUILT=$LAB/built
# What images are called: kubeadm's own choice, so that no configuration names another. Nothing is ever fetched from there.
# shellcheck disable=SC2034
REGISTRY=k8s.gcr.io

# Each hierarchy, since kubelet and runc limit what they run in all of them.
cgroup_roots() {
  awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts
}

# A child of a cpuset is empty, and nothing can run in it, until it is told what it has of its parent's.
make_cgroup() {
  local cgroup name
  mkdir -p "$1/$2" || return
  [ -e "$1/cpuset.cpus" ] || return 0
  for cgroup in "$1" "$1/$2"; do
    for name in cpuset.cpus cpuset.mems; do
      cat "${cgroup%/*}/$name" >"$cgroup/$name" || return
    done
  done
}

# Nothing in a node is kept: the order in which things stop is of no use.
shut_down_nodes() {
  kill_nodes "$@"
}
