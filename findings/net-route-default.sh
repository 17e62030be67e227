#!/bin/sh
# net-route 0.4.6 finds a default route in tables that no rule reads, and in routes that say "unreachable".
#
# Expected: `default_route` gives the default route of the system, which decides where a packet goes; `ip route get` asks the
#           kernel that, and it has none.
# Seen:     first a default of table 200, which no rule names; then "unreachable default", as a route without gateway and
#           interface: a `Route` has no type.
# Meets it: who asks in Rust whether a node has the default route without which it answers no pod: it seems to.
set -eu
. "$(dirname "$0")/lib/common.sh"

cat >"$T/main.rs" <<'RS'
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let handle = net_route::Handle::new().unwrap();
    match handle.default_route().await.unwrap() {
        Some(r) => println!("a default route in table {}, gateway {:?}", r.table, r.gateway),
        None => println!("no default route"),
    }
}
RS
crates net-route@=0.4.6 "tokio@=1.54.1 --features macros,rt" <"$T/main.rs" >/dev/null
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
ip route del default
ask() { echo "$("$T/target/debug/probe"); $(ip route get 169.254.1.1 from 10.65.0.2 iif cali0 2>&1 | head -1)"; }
ask
ip route add default via 192.168.7.1 table 200
ask
ip route flush table 200
ip route add unreachable default
ask
SH
got=$(paste -sd '|' "$T/out")
none="RTNETLINK answers: Network is unreachable"
want="no default route; $none|a default route in table 200, gateway Some(192.168.7.1); $none|a default route in table 254, gateway None; RTNETLINK answers: No route to host"
[ "$got" = "$want" ] || changed "net-route 0.4.6: $got"
seen "net-route 0.4.6 and ip route get: $got"
