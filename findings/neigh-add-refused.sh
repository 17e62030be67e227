#!/bin/sh
# `ip neigh add` without a MAC is refused, and the entry is there nevertheless, where
# `ip neigh` does not list it.
#
# Expected: a command that fails (exit 2, "No link layer address given") to have changed nothing.
# Seen:     an entry without a state: `ip neigh` does not list it (ip-neighbour(8): entries with "none" are left out),
#           `nud all` does; a right `ip neigh add` then fails with "File exists". iproute2 6.1.0; the refusal is the
#           kernel's (seen on 6.18).
# Meets it: who tries a static entry for 169.254.1.1 by hand, forgets the MAC, and tries again.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add eth0 type veth peer name cali0
ip link set eth0 up
ip neigh add 169.254.1.1 dev eth0 2>&1 || echo "exit $?"
echo "listed: $(ip neigh show dev eth0 | grep -c 169.254)" || true
echo "listed with nud all: $(ip neigh show nud all dev eth0 | grep -c 169.254)"
ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 2>&1 || echo "exit $?"
SH
got=$(paste -sd ';' "$T/out")
want="Error: No link layer address given.;exit 2;listed: 0;listed with nud all: 1;RTNETLINK answers: File exists;exit 2"
[ "$got" = "$want" ] || changed "iproute2 6.1.0 on $(uname -r): $got"
seen "iproute2 6.1.0 on $(uname -r | sed 's/[^0-9.].*//'): $got"
