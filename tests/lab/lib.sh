# shellcheck shell=bash
# What the scripts of labs share: names, the lock, bases, nodes' life, and removal. Sourced by them, never run by itself.
#
# Everything that a lab makes is found again by its name, so that `down` needs no memory of an `up` that was killed. These are the names
# of the lab beside this file; one of another kind, which may be up at the same time, has others (`name_lab`).
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

LAB_SCRIPTS=$(cd "$(dirname "$0")" && pwd)

# name_lab VARIABLE DIRECTORY NAME NETWORK SCRIPTS: the variable that names the directory, or else DIRECTORY; the name of the bridge, with
# which other names begin; the network, in which this machine is .1 and the nodes are .11, .12, ...; where the scripts are in the project.
name_lab() {
  LAB_VARIABLE=$1
  LAB=${!1:-$2}
  NODES=$LAB/nodes
  BRIDGE=$3
  # The kernel allows 15 characters.
  LINK=${3//-/}
  NETWORK=$4
  SCRIPTS=$5
}

name_lab PKI_LAB /var/lib/pki-lab pki-lab 10.77.0 tests/lab
INOTIFY_LIMIT=/proc/sys/fs/inotify/max_user_instances
# How long nodes may take to shut down before they are killed, and to start before that is a failure.
STOP_SECONDS=${PKI_LAB_STOP_SECONDS:-10}
START_SECONDS=${PKI_LAB_START_SECONDS:-60}

# The exit code that says: nothing is wrong with the lab, this machine cannot carry one.
NOT_POSSIBLE=77

complain() {
  echo "$SCRIPTS/${0##*/}: $*" >&2
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
  echo "usage: $SCRIPTS/${0##*/} $*" >&2
  exit 2
}

require_root() {
  [ "$(id -u)" -eq 0 ] || not_possible "only root makes machines and networks"
  # Overlay mounts separate paths by ':' and ',', mountinfo escapes spaces, and what is under the path is removed.
  [[ $LAB =~ ^(/[A-Za-z0-9_][A-Za-z0-9._-]*){2,}$ ]] || fail "$LAB_VARIABLE is no plain absolute path at least two deep: $LAB"
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

# ---- what is needed -----------------------------------------------------------------------------------------------------------------

install_missing() {
  install_missing_programs debootstrap=debootstrap systemd-nspawn=systemd-container ssh=openssh-client ip=iproute2
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || not_possible "the kernel has no overlayfs"
  [ -n "$(cgroup_roots)" ] || not_possible "no cgroup hierarchy for systemd is mounted"
}

# install_missing_programs PROGRAM=PACKAGE...: by Debian's package that brings it.
install_missing_programs() {
  local program missing=()
  for program in "$@"; do
    command -v "${program%%=*}" >/dev/null || missing+=("${program#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ -e /etc/debian_version ] || not_possible "not installed: ${missing[*]} (only on Debian this installs them)"
  if ! install_packages "${missing[@]}" >"$LAB/install.log" 2>&1; then
    not_possible "${missing[*]} cannot be installed; see $LAB/install.log"
  fi
  rm -f "$LAB/install.log"
}

# One script at a time: labs of several kinds are made side by side, and apt waits for nobody.
install_packages() {
  flock /run/lock/pki-lab-packages env DEBIAN_FRONTEND=noninteractive bash -c \
    'apt-get update && apt-get install -y --no-install-recommends "$@"' - "$@"
}

# raise_limits NODES INSTANCES: the root users of all nodes count as one. A node whose systemd gets no inotify instance stops, or its
# services fail.
raise_limits() {
  local limit needed
  limit=$(cat "$INOTIFY_LIMIT")
  needed=$((128 + $1 * $2))
  # What another lab has asked for is for its nodes.
  [ -z "$(other_lab)" ] || needed=$((limit + $1 * $2))
  if [ "$limit" -lt "$needed" ]; then
    echo "$limit" >"$LAB/limit-before"
    echo "$needed" >"$INOTIFY_LIMIT" || not_possible "no more than $limit inotify instances are allowed"
  fi
}

# ---- what nodes are made of ---------------------------------------------------------------------------------------------------------

# keep_base SUITE RECIPE: the base is there as `build_base SUITE DIRECTORY` makes it; made anew where it was made by another recipe.
keep_base() {
  local suite=$1 recipe=$2 began
  [ "$(cat "$LAB/base-$suite.recipe" 2>/dev/null)" != "$recipe" ] || return 0
  began=$(milliseconds)
  echo "building the base of $suite, once"
  rm -rf --one-file-system "$LAB/base-$suite" "$LAB/base-$suite.recipe"
  build_base "$suite" "$LAB/base-$suite.new"
  mv "$LAB/base-$suite.new" "$LAB/base-$suite"
  echo "$recipe" >"$LAB/base-$suite.recipe"
  echo "base of $suite built in $(seconds_since "$began")"
}

make_keys() {
  ssh-keygen -q -t ed25519 -N '' -C "$BRIDGE" -f "$LAB/id_ed25519"
  : >"$LAB/known_hosts"
  : >"$LAB/ssh_config"
}

make_nodes_directory() {
  mkdir -m 0700 "$NODES"
  mount -t tmpfs -o mode=0700 "$BRIDGE-nodes" "$NODES" || not_possible "no tmpfs can be mounted"
}

make_node_directory() {
  local node=$1 index=$2
  mkdir -p "$NODES/$node"/{upper,work,root}
  echo "$index" >"$NODES/$node/index"
  echo "$NETWORK.$((10 + index))" >"$NODES/$node/address"
}

# make_root NODE BASE HOSTS: a root of its own over the base (several are separated by colons, the uppermost first), with its name, the
# names of others and our key.
make_root() {
  local node=$1 hosts=$3 root=$NODES/$1/root
  # With redirect_dir a directory of the base can be renamed, as on a disk.
  mount -t overlay -o "lowerdir=$2,upperdir=$NODES/$node/upper,workdir=$NODES/$node/work,redirect_dir=on" \
    "$BRIDGE-$node" "$root" || not_possible "no overlayfs can be mounted"
  echo "$node" >"$root/etc/hostname"
  printf '%s' "$hosts" >"$root/etc/hosts"
  # A machine without an id counts as new and enables every unit.
  tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
  install -m 0600 "$LAB/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
}

make_host_keys() {
  local node=$1 root=$NODES/$1/root address public
  address=$(cat "$NODES/$node/address")
  ssh-keygen -q -t ed25519 -N '' -C "$node" -f "$root/etc/ssh/ssh_host_ed25519_key"
  ssh-keygen -q -t ecdsa -N '' -C "$node" -f "$root/etc/ssh/ssh_host_ecdsa_key"
  for public in "$root"/etc/ssh/ssh_host_*_key.pub; do
    echo "$node,$address $(cat "$public")" >>"$LAB/known_hosts"
  done
  printf 'Host %s\n  HostName %s\n' "$node" "$address" >>"$LAB/ssh_config"
}

# What is said of all hosts comes after what is said of one.
finish_ssh_config() {
  cat >>"$LAB/ssh_config" <<END
Host *
  User root
  IdentityFile $LAB/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile $LAB/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
END
}

# make_network NODE...: the bridge, and a network namespace with an address for each node.
make_network() {
  local node index
  if ip -4 route show table all | grep -qE "(^| )$NETWORK\.[0-9]"; then
    not_possible "this machine already uses $NETWORK.0/24"
  fi
  mountpoint -q /run/netns || : >"$LAB/made-netns-mount"
  {
    echo "link add $BRIDGE type bridge"
    echo "link set $BRIDGE alias $LAB addrgenmode none up"
    echo "address add $NETWORK.1/24 dev $BRIDGE"
    for node in "$@"; do
      index=$(cat "$NODES/$node/index")
      echo "netns add $BRIDGE-$node"
      echo "link add $LINK$index type veth peer name eth0 netns $BRIDGE-$node"
      echo "link set $LINK$index addrgenmode none master $BRIDGE up"
    done
  } | ip -batch - || not_possible "the kernel refuses a bridge, a network namespace or a veth pair"
  for node in "$@"; do
    ip -n "$BRIDGE-$node" -batch - <<END || not_possible "the kernel refuses an address in a network namespace"
link set lo up
link set eth0 addrgenmode none up
address add $(cat "$NODES/$node/address")/24 dev eth0
END
  done
}

# ---- processes ----------------------------------------------------------------------------------------------------------------------

# The roots of the cgroup hierarchies in which systemd keeps its units. Nodes that shared one cgroup would stop each other's services.
cgroup_roots() {
  awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /(^|,)name=systemd(,|$)/) { print $2 }' /proc/self/mounts
}

node_cgroups() {
  local root
  for root in $(cgroup_roots); do
    [ ! -d "$root/$BRIDGE/$1" ] || echo "$root/$BRIDGE/$1"
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
    for cgroup in "$root/$BRIDGE"/*/; do
      [ ! -d "$cgroup" ] || basename "$cgroup"
    done
  done | sort -u
}

# make_cgroup PARENT NODE
make_cgroup() {
  mkdir -p "$1/$2"
}

# Starts a node in its own session and returns at once.
start_node() {
  local node=$1 root
  for root in $(cgroup_roots); do
    make_cgroup "$root/$BRIDGE" "$node" || not_possible "no cgroup can be made in $root"
  done
  setsid "$LAB_SCRIPTS/boot" "$node" </dev/null >>"$NODES/$node/console" 2>&1 9>&- &
  echo $! >"$NODES/$node/pid"
  # Its end is found out by looking, not reported by the shell.
  disown $!
}

# run_node NODE ARGUMENT...: as this process and its children, until the node is off; the arguments are further ones for nspawn.
run_node() {
  local node=$1 cgroups cgroup arguments rebooting code child
  shift
  # From here on each process of the node is in its own cgroup.
  mapfile -t cgroups < <(node_cgroups "$node")
  [ ${#cgroups[@]} -gt 0 ] || fail "$node has been removed"
  for cgroup in "${cgroups[@]}"; do
    echo $$ >"$cgroup/cgroup.procs"
  done
  arguments=(
    --quiet --boot --directory="$NODES/$node/root" --machine="$node"
    # Without these two a systemd on the host would be needed.
    --register=no --keep-unit
    --network-namespace-path="/run/netns/$BRIDGE-$node"
    --resolv-conf=off --timezone=off --link-journal=no --console=read-only
    "$@"
  )
  # The code with which nspawn asks its supervisor to start the machine again.
  rebooting=133
  code=$rebooting
  while [ "$code" -eq "$rebooting" ]; do
    systemd-nspawn "${arguments[@]}" &
    child=$!
    trap 'kill -TERM "$child" 2>/dev/null || true' TERM
    # A signal ends `wait` before the child has ended.
    while kill -0 "$child" 2>/dev/null; do
      code=0
      wait "$child" || code=$?
    done
  done
  exit "$code"
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

# switch_node off|kill|shutdown|on NODE: what `power` does.
switch_node() {
  local state
  [ $# -eq 2 ] || usage "off|kill|shutdown|on NODE"
  require_root
  lock_lab
  require_node "$2"
  case $1 in
    off | kill) kill_nodes "$2" ;;
    shutdown) shut_down_nodes "$2" ;;
    on)
      node_is_on "$2" || start_node "$2"
      state=$(wait_for_node "$2")
      echo "$2 $state"
      ;;
    *) usage "off|kill|shutdown|on NODE" ;;
  esac
}

# Kills each process of the nodes as a loss of power would, and returns when none is left.
kill_nodes() {
  local node processes cgroup shares deadline
  for node in "$@"; do
    # What is killed has to run once more to end, which a lab of little weight might not for long.
    for cgroup in $(node_cgroups "$node"); do
      shares=${cgroup%/*}/cpu.shares
      if [ -e "$shares" ] && [ "$(cat "$shares")" -lt 1024 ]; then echo 1024 >"$shares"; fi
    done
    deadline=$((SECONDS + STOP_SECONDS))
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

# wait_for_all BEGAN NODE...: until all of them answer; says after how long each did. Where none can run, that ends this script.
wait_for_all() {
  local began=$1 node process waiting=() probe
  shift
  for node in "$@"; do
    (
      if output=$(wait_for_node "$node" 2>&1); then
        echo "$node $(cat "$NODES/$node/address") $(cat "$NODES/$node/suite") $output after $(seconds_since "$began")" >"$NODES/$node/ready"
      else
        echo "$output" >"$NODES/$node/complaint"
        exit 1
      fi
    ) 2>/dev/null 9>&- &
    waiting+=($!)
  done
  for process in "${waiting[@]}"; do
    # Each by its number: `wait -n` may forget one of several that end at the same time.
    wait "$process" && continue
    kill "${waiting[@]}" 2>/dev/null || true
    cat "$NODES"/*/complaint >&2 || echo "$SCRIPTS/up: a node failed without a word" >&2
    # A node that fails is the lab's fault only where nspawn can run at all.
    if ! probe=$(systemd-nspawn --quiet --register=no --keep-unit --read-only --directory="$LAB/base-$(cat "$NODES/$1/suite")" true 2>&1 </dev/null); then
      not_possible "systemd-nspawn cannot run: $(tail -n 1 <<<"$probe")"
    fi
    exit 1
  done
  for node in "$@"; do
    cat "$NODES/$node/ready"
  done
}

# ---- removal ------------------------------------------------------------------------------------------------------------------------

clean_up_after_failure() {
  local code=$1
  trap - EXIT INT TERM
  [ "$code" -eq "$NOT_POSSIBLE" ] || complain "failed: removing what was made"
  (remove_lab) || complain "not all of it could be removed: run $SCRIPTS/down"
  exit "$code"
}

# Removes whatever is left of a lab, complete or not, except the bases and the lock.
remove_lab() {
  local owner nodes node
  owner=$(bridge_owner)
  [ -z "$owner" ] || [ "$owner" = "$LAB" ] || fail "the lab that is up belongs to another directory: $LAB_VARIABLE=$owner $SCRIPTS/down"

  # Those that are off have none, and nspawn has left something of them too.
  mapfile -t nodes < <({ nodes_with_cgroups; node_names; } | sort -u)
  for node in "${nodes[@]}"; do
    # One that was still starting would not hear that it is to shut down.
    [ -e "$NODES/$node/ready" ] || kill_nodes "$node"
  done
  shut_down_nodes "${nodes[@]}"
  for node in $(cgroup_roots); do
    [ ! -d "$node/$BRIDGE" ] || rmdir "$node/$BRIDGE"
  done

  remove_network
  unmount_all
  for node in "${nodes[@]}"; do
    # nspawn makes this one for each machine that it boots, and leaves it.
    rmdir "/run/systemd/nspawn/propagate/$node" 2>/dev/null || true
  done
  rm -rf --one-file-system "$NODES" "$LAB"/base-*.new "$LAB"/base-*.disk
  restore_limits
  rm -f "$LAB"/{limit-before,wanted,ssh_config,known_hosts,id_ed25519,id_ed25519.pub}
}

# Sets the limit back, or leaves that to another lab that needs it: the lowest that any of them found was there before all of them.
restore_limits() {
  local before other theirs
  [ -e "$LAB/limit-before" ] || return 0
  before=$(cat "$LAB/limit-before")
  other=$(other_lab)
  if [ -z "$other" ]; then
    echo "$before" >"$INOTIFY_LIMIT"
    return
  fi
  theirs=$(cat "$other/limit-before" 2>/dev/null || echo "$before")
  echo $((before < theirs ? before : theirs)) >"$other/limit-before"
}

# The directory of a lab of another kind that is up; empty without one.
other_lab() {
  local alias
  for alias in /sys/class/net/pki-*/ifalias; do
    # Without any, the pattern stands for itself.
    if [ "$alias" != "/sys/class/net/$BRIDGE/ifalias" ] && [ -d "$(cat "$alias" 2>/dev/null)" ]; then
      cat "$alias"
      return
    fi
  done
}

# The directory of the lab that the bridge belongs to; empty without a bridge.
bridge_owner() {
  local file=/sys/class/net/$BRIDGE/ifalias
  [ ! -e "$file" ] || cat "$file"
}

remove_network() {
  local link namespace
  # A namespace that a process still holds open keeps its veth: that one is removed by its end on the host.
  for link in /sys/class/net/"$LINK"*; do
    [ ! -e "$link" ] || ip link delete "${link##*/}"
  done
  for namespace in /run/netns/"$BRIDGE"-*; do
    [ ! -e "$namespace" ] || ip netns delete "${namespace##*/}"
  done
  [ ! -e "/sys/class/net/$BRIDGE" ] || ip link delete "$BRIDGE"
  # `ip netns add` mounts this directory upon itself when it makes the machine's first namespace.
  if [ -e "$LAB/made-netns-mount" ]; then
    if [ -n "$(other_lab)" ]; then
      : >"$(other_lab)/made-netns-mount"
    elif [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
      ! mountpoint -q /run/netns || umount /run/netns
      rmdir /run/netns 2>/dev/null || true
    fi
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
