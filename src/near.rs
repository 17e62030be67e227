//! What somebody may have meant who gave a name that nothing has.

/// A word that is none of those wanted in its place; it says which are.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct WordError(String);

impl From<String> for WordError {
    fn from(why: String) -> WordError {
        WordError(why)
    }
}

impl From<&str> for WordError {
    fn from(why: &str) -> WordError {
        WordError(why.to_owned())
    }
}

/// Most names that are offered at once.
const OFFERED: usize = 3;
/// The longest word that is looked at: several times the longest name there is.
const WORD_MAX: usize = 100;

/// The names that the word is probably a slip of, the nearest first. None is far off: a letter or two
/// differ, it is the beginning of the name, or each of its parts is a part of the name.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.trim().to_lowercase();
    if word.len() > WORD_MAX {
        return Vec::new();
    }
    let rated = names.into_iter().filter_map(|name| Some((slip(&word, &name.to_lowercase())?, name)));
    let mut rated: Vec<((u8, usize), &str)> = rated.collect();
    // stable: among equals the order of the list
    rated.sort_by_key(|(rank, _)| *rank);
    let mut found: Vec<&str> = Vec::new();
    for (_, name) in rated {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found.truncate(OFFERED);
    found
}

/// [`nearest`] as words to stand behind the name that was given; empty where nothing is near.
pub(crate) fn meant<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let near = nearest(word, names);
    match &near[..] {
        [] => String::new(),
        [one] => format!(" (did you mean {one}?)"),
        [some @ .., last] => format!(" (did you mean {} or {last}?)", some.join(", ")),
    }
}

/// How far the word is from the name, the kind of slip first; none for another name altogether.
fn slip(word: &str, name: &str) -> Option<(u8, usize)> {
    let distance = strsim::osa_distance(word, name);
    if let (Some(wrote), Some(has)) = (number(word), number(name)) {
        // another digit is another issue or mechanism: only a nought left out or two digits swapped
        // are slips
        let same = wrote.trim_start_matches('0') == has.trim_start_matches('0');
        let swapped = distance == 1 && word.len() == name.len() && letters(word) == letters(name);
        return (same || swapped).then_some((0, distance));
    }
    if distance <= allowed(word.chars().count().min(name.chars().count())) {
        return Some((0, distance));
    }
    if word.chars().count() >= 4 && name.starts_with(word) {
        return Some((1, name.len() - word.len()));
    }
    let parts = |text: &'_ str| text.split(['-', '.', '_', ' ']).map(str::to_owned).collect::<Vec<_>>();
    let (wrote, has) = (parts(word), parts(name));
    let near = |part: &String| {
        let rated = has.iter().map(|p| (strsim::osa_distance(part, p), p.chars().count()));
        let fit = rated.filter(|(d, len)| *d <= allowed((*len).min(part.chars().count())));
        fit.map(|(d, _)| d).min()
    };
    let slips = wrote.iter().map(near).sum::<Option<usize>>()?;
    (wrote.len() >= 2).then_some((2, slips + has.len().saturating_sub(wrote.len())))
}

/// Letters that may be wrong in a name of that length.
fn allowed(length: usize) -> usize {
    match length {
        0..=3 => 0,
        4..=5 => 1,
        6..=11 => 2,
        _ => 3,
    }
}

/// The digits of an issue's or a mechanism's number.
fn number(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('m').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

fn letters(text: &str) -> Vec<char> {
    let mut all: Vec<char> = text.chars().collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 9] = [
        "late-responder",
        "late-add",
        "late-del",
        "udev-sysctl-late",
        "felix.iface-seen",
        "felix.iface-gone",
        "8689",
        "M01",
        "M15",
    ];

    #[test]
    fn a_slip_leads_to_what_was_meant() {
        for (word, name) in [
            ("late-respnder", "late-responder"),
            ("Late-Responder", "late-responder"),
            ("late-responders", "late-responder"),
            ("late-resp", "late-responder"),
            ("responder-late", "late-responder"),
            ("felix.iface-sean", "felix.iface-seen"),
            ("iface-seen", "felix.iface-seen"),
            ("late-sysctl", "udev-sysctl-late"),
            ("6889", "8689"),
            ("M1", "M01"),
            ("m51", "M15"),
        ] {
            assert_eq!(nearest(word, NAMES).first(), Some(&name), "{word}");
        }
        assert_eq!(meant("late-ad", NAMES), " (did you mean late-add?)");
        assert_eq!(meant("late", NAMES), " (did you mean late-add, late-del or late-responder?)");
    }

    #[test]
    fn nothing_far_off_is_offered() {
        let long = "x".repeat(5000);
        let far = ["", "x", "8690", "8688", "M16", "M99", "late-bird-special", "kubernetes", &long];
        for word in far {
            assert_eq!(nearest(word, NAMES), [""; 0], "{word}");
        }
        assert_eq!(meant("nosuch", NAMES), "");
    }
}
