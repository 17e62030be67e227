#!/bin/sh
# Scapy 2.6.1 keeps one comment of a frame, the last.
#
# Expected: draft-ietf-opsawg-pcapng, 3.5: opt_comment may stand in a block more than once; tshark shows all.
# Seen:     `comment` of a frame with two is the second; the first is nowhere. (2.8.0 has a list, `comments`; `comment`
#           was the only one up to 2.6.1.)
# Meets it: who reads with Scapy why arplab thinks a request stayed unanswered, when a frame has more than one note.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.6.1
got=$(
    python - "$T/c.pcapng" 2>"$T/log" <<'PY'
import sys
from blocks import *
from scapy.utils import rdpcap
notes = option(1, b"unanswered") + option(1, b"proxy-arp-off") + END
open(sys.argv[1], "wb").write(section() + interface() + enhanced(START * 10**6, options=notes))
(frame,) = rdpcap(sys.argv[1])
print(frame.comment, getattr(frame, "comments", "no list"))
PY
)
[ "$got" = "b'proxy-arp-off' no list" ] || changed "Scapy 2.6.1 gives $got $(tail -1 "$T/log")"
seen "Scapy 2.6.1, a frame with the comments 'unanswered' and 'proxy-arp-off': $got"
