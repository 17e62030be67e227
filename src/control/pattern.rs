//! Names that stand for requests of a real plugin.
//!
//! A request's name says what it does and to what: `cni.route-add pod default via 10.88.0.1 dev eth0`.
//! A pattern is the beginning of such a name, `cni.` and what is done, and then any of its further words in
//! their order; a star in a word stands for any run of characters, and `#2` at the end means the second
//! request that fits. A request with several messages has the names of all of them, parted by `; `, and fits if
//! one of them does.

/// What stands in front of the requests of other verbs than ADD.
const VERBS: [&str; 4] = ["del", "check", "gc", "status"];

/// A pattern, as a file or `--hold` has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern<'a> {
    words: Vec<&'a str>,
    /// Which of those that fit, from 1; `None` where none is named.
    pub nth: Option<usize>,
}

/// The pod whose step a name means, if it says one, and the name without it: `pod2/link-up eth0` is `link-up eth0`
/// of `pod2`. A path in a step's name stands behind a blank.
#[must_use]
pub fn pod_in_front(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((pod, step)) if !pod.contains(char::is_whitespace) => (Some(pod), step),
        _ => (None, name),
    }
}

impl<'a> Pattern<'a> {
    /// Reads it; `None` for what is no step of the plugin, or has a number that is none.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Pattern<'a>> {
        let text = text.strip_prefix("cni.")?;
        let (text, nth) = match text.rsplit_once('#') {
            Some((text, number)) => (text, Some(number.trim().parse().ok().filter(|n| *n > 0)?)),
            None => (text, None),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        (!words.is_empty()).then_some(Pattern { words, nth })
    }

    /// Whether a request of that name, without number, fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let Some(name) = name.strip_prefix("cni.") else { return false };
        let mut messages = name.split("; ");
        let first = messages.next().unwrap_or_default();
        // it stands once, before all that a call asks
        let verb = first.split(' ').next().filter(|word| VERBS.contains(word));
        self.fits_message(first.split_whitespace())
            || messages.any(|it| self.fits_message(verb.into_iter().chain(it.split_whitespace())))
    }

    fn fits_message<'n>(&self, mut of_name: impl Iterator<Item = &'n str>) -> bool {
        let mut pattern = self.words.iter();
        let first = pattern.next().zip(of_name.next());
        first.is_some_and(|(pattern, word)| glob(pattern, word))
            && pattern.all(|pattern| of_name.any(|word| glob(pattern, word)))
    }
}

/// A word with stars against a word.
fn glob(pattern: &str, word: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = word.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Pattern::read(pattern).expect(pattern).fits(name)
    }

    #[test]
    fn a_pattern_is_what_is_done_and_some_words_of_the_rest() {
        let name = "cni.route-add node 10.42.0.0/24 dev cali0123";
        for pattern in ["cni.route-add", "cni.route-add 10.42.0.0/24 dev cali*", "cni.route-* node", "cni.*"]
        {
            assert!(fits(pattern, name), "{pattern}");
        }
        let several = "cni.del link-down pod eth0; nft-delete node chain ip nat A; link-del pod eth0";
        for pattern in ["cni.del link-down", "cni.del nft-delete chain A", "cni.del link-del pod"] {
            assert!(fits(pattern, several), "{pattern}");
        }
        for pattern in ["cni.link-del", "cni.del nft-delete eth0", "cni.del link-down A"] {
            assert!(!fits(pattern, several), "{pattern}");
        }
        for pattern in ["cni.route", "cni.route-add pod", "cni.route-add dev 10.42.0.0/24", "cni.node"] {
            assert!(!fits(pattern, name), "{pattern}");
        }
        assert!(fits(
            "cni.sysctl net.ipv4.conf.*.proxy_arp",
            "cni.sysctl node net.ipv4.conf.host-end.proxy_arp"
        ));
        assert!(!fits("cni.sysctl net.*.proxy_arp", "cni.sysctl node net.ipv4.conf.all.proxy_arp_pvlan"));
        assert!(fits("cni.a*b*c", "cni.aXbbc") && !fits("cni.ab*b", "cni.ab"));
    }

    #[test]
    fn the_number_says_which_of_those_that_fit() {
        assert_eq!(Pattern::read("cni.setns pod#2").and_then(|p| p.nth), Some(2));
        assert_eq!(Pattern::read("cni.setns pod").map(|p| p.nth), Some(None));
        for bad in ["cni.setns#0", "cni.setns#x", "felix.apply", "cni.", "cni.#1"] {
            assert_eq!(Pattern::read(bad), None, "{bad}");
        }
    }
}
