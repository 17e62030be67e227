//! For tests that need real namespaces and may run where there are none.

use crate::Netns;

/// Name of the environment variable that turns a skipped test into a failed one, if it is `1`.
pub const REQUIRE_VARIABLE: &str = "ARPLAB_REQUIRE_NETNS";

/// Whether this process can make network namespaces. If not, the test shall return: this says on
/// stderr why it is skipped.
///
/// # Panics
/// If it cannot and [`REQUIRE_VARIABLE`] is `1`, as it is in continuous integration, where a
/// skipped test would go unnoticed.
#[must_use]
pub fn require_netns() -> bool {
    match Netns::new("require-netns") {
        Ok(_works) => true,
        Err(error) => {
            skip(&error.to_string());
            false
        }
    }
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// If [`REQUIRE_VARIABLE`] is `1`.
pub fn skip(why: &str) {
    assert!(std::env::var(REQUIRE_VARIABLE).as_deref() != Ok("1"), "{REQUIRE_VARIABLE}=1, but {why}");
    eprintln!("skipped: {why}");
}
