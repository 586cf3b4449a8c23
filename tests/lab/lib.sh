# shellcheck shell=bash
# What the lab's scripts share: names, the lock, nodes' life, and removal. Sourced by them, never run by itself.
#
# Everything that a lab makes is found again by its name, so that `down` needs no memory of an `up` that was killed:
#
#   $LAB/base-SUITE          the Debian that nodes of that suite start from; kept by `down`
#   $LAB/lock                taken by each script while it changes the lab
#   $LAB/nodes               a tmpfs with one directory per node: its overlay, its options, its console's output
#   $LAB/ssh_config          with known_hosts and id_ed25519 beside it: how to reach the nodes
#   $LAB/limit-before        the machine's limit of inotify instances, if `up` has raised it
#   pki-lab                  the bridge, whose alias is the directory of the lab that it belongs to
#   pki-lab-NODE             a node's network namespace
#   pkilabINDEX              the host's end of a node's veth pair
#   CGROUP/pki-lab/NODE      a node's processes, in each hierarchy in which systemd keeps its units

LAB=${PKI_LAB:-/var/lib/pki-lab}
LAB_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODES=$LAB/nodes
BRIDGE=pki-lab
INOTIFY_LIMIT=/proc/sys/fs/inotify/max_user_instances
# How long nodes may take to shut down before they are killed, and to start before that is a failure.
STOP_SECONDS=${PKI_LAB_STOP_SECONDS:-10}
START_SECONDS=${PKI_LAB_START_SECONDS:-60}

# The exit code that says: nothing is wrong with the lab, this machine cannot carry one.
NOT_POSSIBLE=77

complain() {
  echo "tests/lab/${0##*/}: $*" >&2
}

fail() {
  complain "$*"
  exit 1
}

not_possible() {
  complain "not possible here: $*"
  exit "$NOT_POSSIBLE"
}

usage() {
  echo "usage: tests/lab/${0##*/} $*" >&2
  exit 2
}

require_root() {
  [ "$(id -u)" -eq 0 ] || not_possible "only root makes machines and networks"
  # Overlay mounts separate paths by ':' and ',', mountinfo escapes spaces, and what is under the path is removed.
  [[ $LAB =~ ^(/[A-Za-z0-9_][A-Za-z0-9._-]*){2,}$ ]] || fail "PKI_LAB is no plain absolute path at least two deep: $LAB"
  # Modes of files in nodes are part of what is tested.
  umask 022
}

# Takes the lab for this script, after any other script has let go of it. Long-lived children must close descriptor 9.
lock_lab() {
  mkdir -p "$LAB"
  chmod 0700 "$LAB"
  exec 9>"$LAB/lock"
  flock -w 120 9 || fail "another script has held $LAB/lock for two minutes"
}

require_node() {
  [ -e "$NODES/$1/index" ] || fail "no node $1; there are: $(node_names | paste -sd ' ')"
}

node_names() {
  [ ! -d "$NODES" ] || (cd "$NODES" && for index in */index; do [ ! -e "$index" ] || echo "${index%/index}"; done)
}

milliseconds() {
  echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# The time since MILLISECONDS, for people.
seconds_since() {
  local spent=$(($(milliseconds) - $1))
  printf '%d.%d s' $((spent / 1000)) $((spent % 1000 / 100))
}

# ---- processes ----------------------------------------------------------------------------------------------------------------------

# The roots of the cgroup hierarchies in which systemd keeps its units. Nodes that shared one cgroup would stop each other's services.
cgroup_roots() {
  awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /(^|,)name=systemd(,|$)/) { print $2 }' /proc/self/mounts
}

node_cgroups() {
  local root
  for root in $(cgroup_roots); do
    [ ! -d "$root/pki-lab/$1" ] || echo "$root/pki-lab/$1"
  done
}

# Each process of a node, including what supervises it from outside.
node_processes() {
  local cgroup
  for cgroup in $(node_cgroups "$1"); do
    # Cgroups vanish while they are listed.
    find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}

# The nodes that have cgroups, whatever else of them is left.
nodes_with_cgroups() {
  local root cgroup
  for root in $(cgroup_roots); do
    for cgroup in "$root"/pki-lab/*/; do
      [ ! -d "$cgroup" ] || basename "$cgroup"
    done
  done | sort -u
}

# Starts a node in its own session and returns at once.
start_node() {
  local node=$1 root
  for root in $(cgroup_roots); do
    mkdir -p "$root/pki-lab/$node" || not_possible "no cgroup can be made in $root"
  done
  setsid "$LAB_SCRIPTS/boot" "$node" </dev/null >>"$NODES/$node/console" 2>&1 9>&- &
  echo $! >"$NODES/$node/pid"
  # Its end is found out by looking, not reported by the shell.
  disown $!
}

# Whether what supervises the node lives. A stale pid may be another program's: it counts only from the node's cgroup.
node_is_on() {
  local pid
  pid=$(cat "$NODES/$1/pid" 2>/dev/null) && grep -qx "$pid" <<<"$(node_processes "$1")"
}

# Asks the nodes to shut down, all at the same time, and kills those that have not by the deadline.
shut_down_nodes() {
  local node deadline=$((SECONDS + STOP_SECONDS))
  for node in "$@"; do
    ! node_is_on "$node" || kill -TERM "$(cat "$NODES/$node/pid")" 2>/dev/null || true
  done
  for node in "$@"; do
    while [ -n "$(node_processes "$node")" ] && [ "$SECONDS" -lt "$deadline" ] && node_is_on "$node"; do
      sleep 0.1
    done
  done
  kill_nodes "$@"
}

# Kills each process of the nodes as a loss of power would, and returns when none is left.
kill_nodes() {
  local node processes cgroup deadline=$((SECONDS + STOP_SECONDS))
  for node in "$@"; do
    while processes=$(node_processes "$node") && [ -n "$processes" ]; do
      # shellcheck disable=SC2086 # One process a word.
      kill -KILL $processes 2>/dev/null || true
      [ "$SECONDS" -lt "$deadline" ] || fail "processes of $node outlive SIGKILL: $(paste -sd ' ' <<<"$processes")"
      sleep 0.02
    done
    for cgroup in $(node_cgroups "$node"); do
      find "$cgroup" -depth -type d -exec rmdir {} +
    done
    rm -f "$NODES/$node/pid"
  done
}

# Waits until commands run in the node over SSH and its systemd has finished starting; prints the state that systemd reports.
wait_for_node() {
  local node=$1 deadline=$((SECONDS + START_SECONDS)) address state pid
  address=$(cat "$NODES/$node/address")
  pid=$(cat "$NODES/$node/pid")
  while [ "$SECONDS" -lt "$deadline" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
      complain "$node stopped while starting; the end of its console:"
      tail -n 5 "$NODES/$node/console" >&2
      return 1
    fi
    # An attempt to connect costs far less than a run of ssh.
    if (exec 3<>"/dev/tcp/$address/22") 2>/dev/null; then
      # The exit code tells an unreachable node (255) from one whose systemd is not content (1).
      state=$(timeout "$START_SECONDS" ssh -F "$LAB/ssh_config" -n -o ConnectTimeout=5 "$node" systemctl is-system-running --wait 2>/dev/null) || true
      if [ -n "$state" ]; then
        echo "$state"
        return 0
      fi
    fi
    sleep 0.1
  done
  complain "$node did not answer over SSH within $START_SECONDS s; the end of its console:"
  tail -n 5 "$NODES/$node/console" >&2
  return 1
}

# ---- removal ------------------------------------------------------------------------------------------------------------------------

# Removes whatever is left of a lab, complete or not, except the bases and the lock.
remove_lab() {
  local owner nodes node
  owner=$(bridge_owner)
  [ -z "$owner" ] || [ "$owner" = "$LAB" ] || fail "the lab that is up belongs to another directory: PKI_LAB=$owner tests/lab/down"

  mapfile -t nodes < <(nodes_with_cgroups)
  for node in "${nodes[@]}"; do
    # One that was still starting would not hear that it is to shut down.
    [ -e "$NODES/$node/ready" ] || kill_nodes "$node"
  done
  shut_down_nodes "${nodes[@]}"
  for node in $(cgroup_roots); do
    [ ! -d "$node/pki-lab" ] || rmdir "$node/pki-lab"
  done

  remove_network
  unmount_all
  for node in "${nodes[@]}"; do
    # nspawn makes this one for each machine that it boots, and leaves it.
    rmdir "/run/systemd/nspawn/propagate/$node" 2>/dev/null || true
  done
  rm -rf --one-file-system "$NODES" "$LAB"/base-*.new "$LAB"/base-*.disk
  if [ -e "$LAB/limit-before" ]; then
    cat "$LAB/limit-before" >"$INOTIFY_LIMIT"
  fi
  rm -f "$LAB"/{limit-before,wanted,ssh_config,known_hosts,id_ed25519,id_ed25519.pub}
}

# The directory of the lab that the bridge belongs to; empty without a bridge.
bridge_owner() {
  local file=/sys/class/net/$BRIDGE/ifalias
  [ ! -e "$file" ] || cat "$file"
}

remove_network() {
  local link namespace
  # A namespace that a process still holds open keeps its veth: that one is removed by its end on the host.
  for link in /sys/class/net/pkilab*; do
    [ ! -e "$link" ] || ip link delete "${link##*/}"
  done
  for namespace in /run/netns/pki-lab-*; do
    [ ! -e "$namespace" ] || ip netns delete "${namespace##*/}"
  done
  [ ! -e "/sys/class/net/$BRIDGE" ] || ip link delete "$BRIDGE"
  # `ip netns add` mounts this directory upon itself when it makes the machine's first namespace.
  if [ -e "$LAB/made-netns-mount" ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
    ! mountpoint -q /run/netns || umount /run/netns
    rmdir /run/netns 2>/dev/null || true
  fi
  rm -f "$LAB/made-netns-mount"
}

# Unmounts everything below the lab, the innermost first.
unmount_all() {
  local mounts deadline=$((SECONDS + STOP_SECONDS)) mount
  while mounts=$(awk -v below="$LAB/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac) && [ -n "$mounts" ]; do
    # The kernel lets go of a killed node's root a moment after its last process.
    for mount in $mounts; do
      umount "$mount" 2>/dev/null || true
    done
    if [ "$SECONDS" -ge "$deadline" ]; then
      fail "still mounted, because something uses it: $(paste -sd ' ' <<<"$mounts")"
    fi
  done
}
