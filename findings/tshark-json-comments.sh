#!/bin/sh
# tshark 4.0.17 writes a frame's comments into JSON under one name each time, so that a reader has the last alone.
#
# Expected: RFC 8259, 4: names within an object should be unique; readers differ in what they make of others, and most
#           keep the last.
# Seen:     two members "frame.comment" in one object; Python's json and jq give the second. (--no-duplicate-keys makes an
#           array of them, -T ek and -T fields give both.)
# Meets it: who reads from `tshark -T json` why arplab thinks a request stayed unanswered, where a frame has two notes.
set -eu
. "$(dirname "$0")/lib/common.sh"

tshark_debs
python - >"$T/c.pcapng" <<'PY'
import sys
from blocks import *
notes = option(1, b"unanswered") + option(1, b"proxy-arp-off") + END
sys.stdout.buffer.write(section() + interface() + enhanced(START * 10**6, options=notes))
PY
tshark -r "$T/c.pcapng" -T json >"$T/json" || cannot "tshark: $(tail -1 "$T/log")"
got=$(
    grep -c '"frame.comment":' "$T/json"
    python - "$T/json" <<'PY'
import json, sys
print(json.load(open(sys.argv[1]))[0]["_source"]["layers"]["pkt_comment"]["frame.comment"])
PY
    tshark -r "$T/c.pcapng" -T fields -e frame.comment
)
got=$(echo "$got" | paste -sd ';')
[ "$got" = "2;proxy-arp-off;unanswered,proxy-arp-off" ] || changed "tshark 4.0.17: $got"
seen "tshark 4.0.17: comments in the JSON text, as read from it, and with -T fields: $got"
