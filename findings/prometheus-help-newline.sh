#!/bin/sh
# The crate prometheus-client 0.26.0 writes a line break in a metric's help as it is, and the whole exposition is invalid.
#
# Expected: OpenMetrics 1.0, text format: HELP holds an escaped string, in which a line break is written as \n. The crate
#           does that to the values of labels.
# Seen:     the rest of the help stands on a line of its own, and the parser of Prometheus' Python client (0.22.1) refuses
#           all metrics.
# Meets it: who exports how long gateways were silent, with a help text of two lines.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips prometheus-client==0.22.1
crates prometheus-client@=0.26.0 >"$T/metrics" <<'RS'
use prometheus_client::{encoding::text::encode, metrics::gauge::Gauge, registry::Registry};
fn main() {
    let mut registry = Registry::default();
    registry.register("gateway_silent", "Seconds without an answer\nfor 169.254.1.1", Gauge::<i64>::default());
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    print!("{text}");
}
RS
got=$(python - "$T/metrics" <<'PY'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
text = open(sys.argv[1]).read()
lines = [line for line in text.splitlines() if not line.startswith(("#", "gateway_silent"))]
try:
    print(f"{len(list(parse(text)))} metric(s)")
except ValueError as e:
    print(f"stray {lines}; refused: {type(e).__name__}")
PY
)
[ "$got" = "stray ['for 169.254.1.1.']; refused: ValueError" ] || changed "prometheus-client 0.26.0: $got"
seen "prometheus-client 0.26.0: $got"
