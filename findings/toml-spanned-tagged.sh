#!/bin/sh
# toml 1.2.2 cannot tell where a value stands that belongs to a tagged or flattened type, and refuses the document.
#
# Expected: `Spanned<T>` deserializes wherever a T does, and tells its place; its documentation makes no exception of
#           these.
# Seen:     "invalid type: string, expected a spanned value", placed at the head of the table: serde keeps such values in
#           a buffer of its own first, which knows no places. The same struct by itself is read.
# Meets it: who writes a scenario reader that points at the very value in clients that are told apart by their kind.
set -eu
. "$(dirname "$0")/lib/common.sh"

cat >"$T/main.rs" <<'RS'
use serde::Deserialize;
use toml::Spanned;
#[derive(Deserialize)]
struct Ping {
    to: Spanned<String>,
}
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Client {
    Ping(Ping),
}
#[derive(Deserialize)]
struct Step {
    #[serde(flatten)]
    ping: Ping,
}
fn said<T>(r: Result<T, toml::de::Error>, to: impl Fn(&T) -> &Ping) -> String {
    match r {
        Ok(t) => format!("read, {:?}", to(&t).to.span()),
        Err(e) => format!("{}", e.message()),
    }
}
fn main() {
    let text = "to = '198.51.100.1'\n";
    println!("alone: {}", said(toml::from_str::<Ping>(text), |p| p));
    let tagged = format!("kind = 'ping'\n{text}");
    println!("tagged: {}", said(toml::from_str::<Client>(&tagged), |Client::Ping(p)| p));
    println!("flattened: {}", said(toml::from_str::<Step>(text), |s| &s.ping));
}
RS
crates toml@=1.2.2 "serde@=1.0.229 --features derive" >"$T/out" <"$T/main.rs"
got=$(paste -sd ';' "$T/out")
want='alone: read, 5..19;tagged: invalid type: string "198.51.100.1", expected a spanned value;flattened: invalid type: string "198.51.100.1", expected a spanned value'
[ "$got" = "$want" ] || changed "toml 1.2.2: $got"
seen "toml 1.2.2: $got"
