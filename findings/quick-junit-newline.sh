#!/bin/sh
# quick-junit 0.8.0 writes the line breaks of a failure's message so that XML readers make blanks of them.
#
# Expected: XML 1.0, 3.3.3: a literal line break in an attribute is read as a blank; to survive it has to be written as
#           a character reference (&#10;), as the crate writes other characters that XML would change.
# Seen:     message="..." with the break as it is; the text of the element keeps its own.
# Meets it: who puts a run's verdict, several lines, into a JUnit report: the CI shows it as one.
set -eu
. "$(dirname "$0")/lib/common.sh"

crates quick-junit@=0.8.0 >"$T/report.xml" <<'RS'
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
fn main() {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message("gateway silent for 59 s\nbecause proxy-arp-off");
    status.set_description("gateway silent for 59 s\nbecause proxy-arp-off");
    let mut suite = TestSuite::new("scenarios");
    suite.add_test_case(TestCase::new("late-responder", status));
    let mut report = Report::new("lab");
    report.add_test_suite(suite);
    print!("{}", report.to_string().unwrap());
}
RS
got=$(python - "$T/report.xml" <<'PY'
import sys
from xml.etree import ElementTree
failure = next(ElementTree.parse(sys.argv[1]).iter("failure"))
print(f"message {len(failure.get('message').splitlines())} line(s), text {len(failure.text.splitlines())} line(s)")
PY
)
[ "$got" = "message 1 line(s), text 2 line(s)" ] || changed "quick-junit 0.8.0: $got"
seen "quick-junit 0.8.0, two lines read back: $got"
