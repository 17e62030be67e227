//! What two runs of a plugin have in common: texts of the same step, with a star for what differs from pod to pod
//! or from run to run.

#[cfg(feature = "live")]
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of steps with a star where two pods' differ: an address, a container's name, a name that is drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shapes(Arc<[Shape]>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Shape {
    /// The name with its star.
    name: String,
    /// A name of that shape without the values in it: a star would stand for other words, too.
    bare: String,
}

impl Shapes {
    /// Those of names, without numbers, that two pods' runs of the same verb have.
    #[must_use]
    pub fn between(one: &[&str], other: &[&str]) -> Shapes {
        let only = |of: &[&str], than: &[&str]| {
            let mut names: Vec<String> = Vec::new();
            for name in of.iter().filter(|name| !than.contains(name)) {
                if names.iter().all(|it| it != name) {
                    names.push((*name).to_owned());
                }
            }
            names
        };
        let (of_one, mut of_other) = (only(one, other), only(other, one));
        let mut shapes: Vec<Shape> = Vec::new();
        for name in of_one {
            let bare = without_values(&name);
            if let Some(at) = of_other.iter().position(|there| without_values(there) == bare) {
                let shape = Shape { name: merge(&name, &of_other.remove(at)), bare };
                if !shapes.contains(&shape) {
                    shapes.push(shape);
                }
            }
        }
        Shapes(shapes.into())
    }

    /// These and those.
    #[must_use]
    pub fn and(&self, more: &Shapes) -> Shapes {
        Shapes(self.0.iter().chain(more.0.iter()).cloned().collect())
    }

    /// The name with its stars, where it is one of these.
    #[must_use]
    pub fn of(&self, plain: String) -> String {
        let fitting = |shape: &&Shape| fits(&shape.name, &plain) && shape.bare == without_values(&plain);
        self.0.iter().find(fitting).map(|shape| shape.name.clone()).unwrap_or(plain)
    }
}

/// A name with its number, if it is not the first of that name.
#[cfg(feature = "live")]
pub(crate) fn numbered(plain: &str, seen: &mut BTreeMap<String, usize>) -> String {
    let number = seen.entry(plain.to_owned()).or_default();
    *number += 1;
    if *number > 1 { format!("{plain}#{number}") } else { plain.to_owned() }
}

/// Words without the numbers and addresses in them: those of two pods differ.
pub(crate) fn without_values(words: &str) -> String {
    let mut out = String::new();
    let mut value = String::new();
    for c in words.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_hexdigit() || c == '.' || c == ':' {
            value.push(c);
            continue;
        }
        let is_value = value.contains(|c: char| c.is_ascii_digit());
        out.push_str(if is_value { "#" } else { &value });
        value.clear();
        out.push(c);
    }
    out
}

/// One text for two, with a `*` in each word in which they differ.
pub(crate) fn merge(one: &str, other: &str) -> String {
    let words = one.split(' ').zip(other.split(' '));
    let merged: Vec<_> = words.map(|(a, b)| if a == b { a.to_owned() } else { merge_word(a, b) }).collect();
    merged.join(" ")
}

/// What two drawn names begin and end with by chance is not theirs: digits of numbers and
/// addresses are left out.
fn merge_word(a: &str, b: &str) -> String {
    let is_digit = |c: char| c.is_ascii_hexdigit() || c == ':';
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let head = a.chars().take(same).collect::<String>();
    let head = head.trim_end_matches(is_digit);
    let rest = (&a[head.len()..], &b[head.len()..]);
    let same = rest.0.chars().rev().zip(rest.1.chars().rev()).take_while(|(a, b)| a == b).count();
    let tail: String = rest.0.chars().skip(rest.0.chars().count() - same).collect();
    format!("{head}*{}", tail.trim_start_matches(is_digit))
}

/// Whether a text is one of those that a merged text stands for.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.split(' ').collect(), text.split(' ').collect());
    pattern.len() == text.len()
        && pattern.iter().zip(&text).all(|(pattern, word)| match pattern.split_once('*') {
            Some((head, tail)) => {
                word.len() >= head.len() + tail.len() && word.starts_with(head) && word.ends_with(tail)
            }
            None => pattern == word,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_no_difference_between_two_pods() {
        let alike = |one: &str, other: &str| without_values(one) == without_values(other);
        assert!(alike("open /net/10.88.0.2 for writing", "open /net/10.88.0.13 for writing"));
        assert!(alike("ip -6 route add fd00::a2 dev x", "ip -6 route add fd00::3 dev x"));
        assert!(!alike("ip link add cni0 type bridge", "ip link add eth0 type veth"));
        assert!(!alike("nft add table ip nat; nft add chain ip nat X", "nft add chain ip nat X"));
    }

    #[test]
    fn two_pods_steps_have_one_name() {
        let one = ["link-add node cni0", "addr-add pod eth0 10.88.0.2/24", "link-up node host-end"];
        let other = ["addr-add pod eth0 10.88.0.3/24", "link-up node host-end"];
        let shapes = Shapes::between(&one, &other);
        assert_eq!(shapes.0.len(), 1);
        assert_eq!(shapes.of("addr-add pod eth0 10.88.0.17/24".into()), "addr-add pod eth0 10.88.0.*/24");
        assert_eq!(
            shapes.of("addr-add node host-end 10.88.0.1/32".into()),
            "addr-add node host-end 10.88.0.1/32"
        );
        // of drawn names the star stands for nothing else
        let chains = Shapes::between(&["nft-add chain CNI-f09388d4"], &["nft-add chain CNI-754e7cb9"]);
        assert_eq!(chains.of("nft-add chain CNI-86bfa703".into()), "nft-add chain CNI-*");
        assert_eq!(chains.of("nft-add chain CNI-HOSTPORT-DNAT".into()), "nft-add chain CNI-HOSTPORT-DNAT");
    }
}
