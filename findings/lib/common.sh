# Sourced by every script of this folder, after it has set `set -eu`. It gives a temporary folder $T that is
# removed at the end, ways to get a pinned public package into it and nowhere else, and the three ways to end:
#   seen TEXT     the behaviour is as the script says (exit 0)
#   changed TEXT  it is not: another version, or a repair (exit 1)
#   cannot TEXT   nothing can be said: no package, no root (exit 2)
# shellcheck shell=sh

lib=$(cd "$(dirname "$0")/lib" && pwd)
T=$(mktemp -d)
export T lib
trap 'rm -rf "$T"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

seen() {
    echo "seen: $*"
    exit 0
}
changed() {
    echo "changed: $*" >&2
    exit 1
}
cannot() {
    echo "cannot be checked: $*" >&2
    exit 2
}

# debs NAME=VERSION...: Debian packages, unpacked below $T/root; their libraries are found there. No scripts run.
debs() {
    mkdir -p "$T/deb" "$T/root"
    (cd "$T/deb" && apt-get -qq -o APT::Sandbox::User=root download "$@") >"$T/log" 2>&1 ||
        cannot "apt-get download $*: $(tail -1 "$T/log")"
    for deb in "$T"/deb/*.deb; do
        dpkg -x "$deb" "$T/root"
    done
    LD_LIBRARY_PATH=
    for dir in "$T"/root/usr/lib/*-linux-gnu "$T"/root/lib/*-linux-gnu; do
        LD_LIBRARY_PATH=$LD_LIBRARY_PATH${LD_LIBRARY_PATH:+:}$dir
    done
    export LD_LIBRARY_PATH
}

# pips NAME==VERSION...: Python packages, for python3 of this script alone.
pips() {
    python3 -m pip install -q --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
        --target "$T/py" "$@" >"$T/log" 2>&1 || cannot "pip install $*: $(tail -1 "$T/log")"
}
python() {
    PYTHONPATH="$T/py:$lib" PYTHONDONTWRITEBYTECODE=1 python3 -W ignore "$@"
}

# crates "NAME@=VERSION --features ..."...: a Rust program of its own (main from standard input) with these crates, run
# with what stands in $ARGS. Cargo's cache and its build are in the temporary folder too.
crates() {
    mkdir -p "$T/cargo" "$T/rs/src"
    cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$T/cargo/" 2>/dev/null || true
    cat >"$T/rs/src/main.rs"
    printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$T/rs/Cargo.toml"
    (
        cd "$T/rs"
        export CARGO_HOME="$T/cargo" CARGO_TARGET_DIR="$T/target"
        for crate in "$@"; do
            # shellcheck disable=SC2086
            cargo add -q $crate || exit 1
        done
        cargo build -q
    ) >"$T/log" 2>&1 || cannot "cargo, with $*: $(tail -3 "$T/log")"
    # shellcheck disable=SC2086
    "$T/target/debug/probe" ${ARGS-}
}

# namespaces: runs the shell commands of standard input in network and mount namespaces of their own, where
# `ip netns add` leaves its names in a /run that goes with them. All that ran there ends with them.
namespaces() {
    [ "$(id -u)" = 0 ] || cannot "namespaces of one's own are made as root"
    {
        echo 'set -eu; mount -t tmpfs none /run; mkdir -p /run/netns /run/lock; ip link set lo up'
        cat
    } >"$T/inside.sh"
    unshare --net --mount --pid --fork --mount-proc --kill-child sh "$T/inside.sh"
}

# The tshark of Debian 12 and what of its libraries a small system may lack.
tshark_debs() {
    debs 'tshark=4.0.17-0*' 'libwireshark16=4.0.17-0*' 'libwiretap13=4.0.17-0*' 'libwsutil14=4.0.17-0*' \
        libc-ares2 liblua5.2-0 libsmi2ldbl libsnappy1v5 libnghttp2-14 libpcap0.8 libglib2.0-0 libxml2 libicu72
    mkdir -p "$T/home"
}
tshark() {
    HOME="$T/home" "$T/root/usr/bin/tshark" "$@" 2>"$T/log"
}

# smoltcp_host: a Rust program (main from standard input) that has lib/wire.rs, smoltcp 0.14.0 on a wire in memory.
smoltcp_host() {
    cat "$lib/wire.rs" - | sed '1i #![allow(dead_code)]' |
        crates "smoltcp@=0.14.0 --no-default-features --features std,medium-ethernet,proto-ipv4,proto-ipv6,socket-udp"
}
