# Sourced inside `namespaces`: a node whose cali0 answers for 169.254.1.1 by proxy ARP, and a namespace `pod` whose eth0
# is 10.65.0.2, as Calico leaves them.
# shellcheck shell=sh
ip netns add pod
ip link add cali0 address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns pod
ip link add uplink type veth peer name router
ip link set cali0 up
ip link set uplink up
ip link set router up
ip addr add 192.168.7.2/24 dev uplink
ip route add default via 192.168.7.1
ip route add 10.65.0.2 dev cali0
ip -n pod link set lo up
ip -n pod link set eth0 up
ip -n pod addr add 10.65.0.2/32 dev eth0
ip -n pod route add 169.254.1.1 dev eth0 scope link
ip -n pod route add default via 169.254.1.1
echo 0 >/proc/sys/net/ipv4/neigh/cali0/proxy_delay
echo 1 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
echo 1 >/proc/sys/net/ipv4/conf/cali0/forwarding
