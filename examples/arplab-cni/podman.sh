#!/bin/bash
# A container of podman whose gateway stays silent for a while, seen from its inside.
#
#   podman.sh FOLDER [SECONDS]     FOLDER has arplab-cni, SECONDS is the window's length
#
# It takes root, podman (4.x), crun, busybox-static and containernetworking-plugins. Nothing of the machine is
# touched: the node is a network namespace with an uplink that leads nowhere, and /run and /var/lib are folders
# in memory. All of it goes when the script ends, by whatever signal.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:?where is arplab-cni?}" && pwd)
seconds=${2:-5}

for tool in podman crun busybox /usr/lib/cni/host-local unshare "$bin/arplab-cni"; do
    command -v "$tool" >/dev/null || { echo "podman.sh: $tool is missing" >&2; exit 3; }
done
if ldd /bin/busybox >/dev/null 2>&1; then
    echo "podman.sh: /bin/busybox needs libraries; that of busybox-static does not" >&2
    exit 3
fi

if [ "${ARPLAB_ON_NODE:-}" != 1 ]; then
    export ARPLAB_ON_NODE=1
    exec unshare --net --mount --pid --fork --kill-child --mount-proc -- bash "$here/podman.sh" "$bin" "$seconds"
fi

# a node: its folders, an uplink with a default route, forwarding, and the reverse path check of most of them
# unshare has made it private; -n: mount(8) makes no /run/mount of the machine
mount -n -t tmpfs run /run
mount -n -t tmpfs lib /var/lib
mount -n -t sysfs sys /sys
mount -n -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
ip link add up0 type veth peer name world
ip link set world up
ip link set up0 up
ip address add 192.0.2.10/24 dev up0
ip route add default via 192.0.2.1 dev up0
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.default.rp_filter=1

# podman as it is told by containers.conf, with folders below /run
mkdir -p /run/net.d /run/tmp
sed "s/5s/${seconds}s/" "$here/window.conflist" >/run/net.d/window.conflist
sed "s,/opt/cni/bin,$bin,; s,/etc/cni/net.d,/run/net.d," "$here/containers.conf" >/run/containers.conf
printf 'events_logger = "none"\ncgroup_manager = "cgroupfs"\n' >>/run/containers.conf
export CONTAINERS_CONF=/run/containers.conf TMPDIR=/run/tmp
podman() { command podman --storage-driver vfs "$@"; }

# a container's file system, without an image
mkdir -p /run/root/bin /run/root/proc /run/root/sys /run/root/dev /run/root/etc /run/root/run /run/root/tmp
cp /bin/busybox /run/root/bin/
for name in awk cut ip ping sh sleep; do ln -s busybox "/run/root/bin/$name"; done
cat >/run/root/try <<'TRY'
#!/bin/sh
# asks the node, by the gateway, until it has answered three times
begin=$(cut -d ' ' -f 1 /proc/uptime)
answered=0
while [ $answered -lt 3 ]; do
    if ping -c 1 -W 1 192.0.2.10 >/dev/null 2>&1; then word=answered; else word="no answer"; fi
    awk -v begin="$begin" '{ printf "%5.2f s  ", $1 - begin }' /proc/uptime
    echo "ping: $word, $(ip neigh show 169.254.1.1 dev eth0 nud all)"
    [ "$word" = answered ] && answered=$((answered + 1)) && sleep 1
done
exit 0
TRY
chmod 755 /run/root/try

left() {
    ip -br link | cut -d ' ' -f 1
    ip route
    ls /proc/sys/net/ipv4/conf
    find /run/arplab-cni /run/netns /var/lib/cni -type f ! -name lock ! -name 'last_reserved_ip.*' 2>/dev/null || true
    pgrep -a arplab-cni || true
}
# what a container leaves: links, routes, switches, files, processes
left >/run/before

echo "--- a container, from its inside"
podman run --rm --cgroups=disabled --network window --rootfs /run/root /try

echo "--- what is left of it"
left | diff /run/before - && echo nothing

echo "--- a container that is removed while its window is open"
id=$(podman run --detach --cgroups=disabled --network window --rootfs /run/root sleep 1000)
left | diff /run/before - || true
sed -n '/"windows"/,$p' /run/arplab-cni/window/*.json
echo
podman rm --force --time 0 "$id" >/dev/null

echo "--- what is left of it"
left | diff /run/before - && echo nothing
