//! How an interface is named in a request.

use std::fmt;

/// `IFNAMSIZ` less the closing zero.
const NAME_BYTES_MAX: usize = 15;

/// An interface, by name or by index.
///
/// An index is valid in one namespace only: another namespace may give the same number to
/// another interface, and the two ends of a veth may well have equal ones.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Dev {
    /// By name; found by the kernel or looked up when the request is made.
    Name(String),
    /// By index (`ifindex`), as notifications and frames have it.
    Index(u32),
}

impl Dev {
    /// The name, if it is known.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Index(_) => None,
        }
    }
}

impl fmt::Display for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            // As ip(8) writes an index that has no name.
            Self::Index(index) => write!(f, "if{index}"),
        }
    }
}

impl fmt::Debug for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&str> for Dev {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Dev {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<&Dev> for Dev {
    fn from(dev: &Dev) -> Self {
        dev.clone()
    }
}

impl From<u32> for Dev {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

/// Why the kernel would refuse `name` for an interface; see `dev_valid_name()`.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 15 bytes"
    } else if matches!(name, "." | "..") {
        "the kernel reserves it"
    } else if name.contains(|c: char| matches!(c, '/' | ':' | '\0') || c.is_ascii_whitespace()) {
        "it holds a slash, a colon or white space"
    } else {
        return None;
    };
    Some(format!("`{name}` is no name for an interface: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_rules_are_the_kernels() {
        for good in ["lo", "eth0.100", "cali0123456789a", "...", "a%d"] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "cali0123456789ab"] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
}
