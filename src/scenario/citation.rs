//! Issues, pull requests and commits as people cite them: by number, as GitHub writes it, or by the
//! address that was copied from a browser.

/// What a word cites.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Citation<'a> {
    owner: Option<&'a str>,
    repository: Option<&'a str>,
    /// `#8689`'s digits, or the beginning of a commit's name.
    what: &'a str,
    commit: bool,
}

/// What stands around an address in a sentence.
const DRESS: &[char] = &['<', '>', '(', ')', '[', ']', '"', '\'', ',', ';', '.'];

/// The project whose issues need no name.
const CALICO: (&str, &str) = ("projectcalico", "calico");

/// Letters of a commit's name that are enough to compare by.
const COMMIT_MIN: usize = 7;

impl<'a> Citation<'a> {
    /// Reads `8689`, `#8689`, `calico#8689`, `projectcalico/calico#8689`, `OWNER/REPOSITORY@COMMIT`,
    /// or an address of an issue, a pull request, a discussion or a commit, with whatever follows it.
    pub(crate) fn read(word: &'a str) -> Option<Citation<'a>> {
        let word = word.trim_matches(|c: char| DRESS.contains(&c) || c.is_whitespace());
        match address(word) {
            Some(path) => Self::of_address(path),
            None => Self::of_short(word),
        }
    }

    /// `OWNER/REPOSITORY/issues/8689/...`
    fn of_address(path: &'a str) -> Option<Citation<'a>> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.split('/').filter(|p| !p.is_empty());
        let (owner, repository) = (named(parts.next()?)?, named(parts.next()?)?);
        let kind = parts.next()?.to_ascii_lowercase();
        let what = parts.next()?;
        let commit = match kind.as_str() {
            "issues" | "issue" | "pull" | "pulls" | "discussions" => is_number(what).then_some(false)?,
            "commit" | "commits" => is_commit(what).then_some(true)?,
            _ => return None,
        };
        Some(Citation { owner: Some(owner), repository: Some(repository), what, commit })
    }

    /// `OWNER/REPOSITORY#8689`, of which all but the number may be missing.
    fn of_short(word: &'a str) -> Option<Citation<'a>> {
        if is_number(word) {
            return Some(Citation { owner: None, repository: None, what: word, commit: false });
        }
        let at = word.find(['#', '@'])?;
        let (project, rest) = (&word[..at], &word[at + 1..]);
        let what = rest.split(['#', '?', '/']).next().unwrap_or_default();
        let commit = word[at..].starts_with('@');
        if !(if commit { is_commit(what) } else { is_number(what) }) {
            return None;
        }
        let (owner, repository) = match project.split_once('/') {
            Some((owner, repository)) => (Some(named(owner)?), Some(named(repository)?)),
            None if project.is_empty() && !commit => (None, None),
            None => (None, Some(named(project)?)),
        };
        Some(Citation { owner, repository, what, commit })
    }

    /// The number, or the commit.
    pub(crate) fn what(&self) -> &'a str {
        self.what
    }

    /// A part of it that stands in every reference to it.
    pub(crate) fn needle(&self) -> &'a str {
        if self.commit { &self.what[..COMMIT_MIN] } else { self.what }
    }

    /// It says of which project it is.
    pub(crate) fn names_project(&self) -> bool {
        self.repository.is_some()
    }

    /// An issue or a pull request of Calico's.
    pub(crate) fn is_calicos(&self) -> bool {
        let is = |part: Option<&str>, name: &str| part.is_none_or(|p| p.eq_ignore_ascii_case(name));
        !self.commit && is(self.owner, CALICO.0) && is(self.repository, CALICO.1)
    }

    /// The reference of a source, such as `projectcalico/calico#8689`, is to the same thing.
    pub(crate) fn is_of(&self, reference: &str) -> bool {
        let Some(other) = Citation::of_short(reference) else { return false };
        let same = |mine: Option<&str>, its: Option<&str>| {
            mine.is_none_or(|m| its.is_some_and(|i| m.eq_ignore_ascii_case(i)))
        };
        let what = if self.commit {
            let (a, b) = (self.what.to_ascii_lowercase(), other.what.to_ascii_lowercase());
            a.starts_with(&b) || b.starts_with(&a)
        } else {
            self.what == other.what
        };
        self.commit == other.commit
            && what
            && same(self.owner, other.owner)
            && same(self.repository, other.repository)
    }
}

/// What follows the host in an address of GitHub's.
fn address(word: &str) -> Option<&str> {
    let lower = word.to_ascii_lowercase();
    let mut skip = 0;
    for prefix in ["https://", "http://", "www."] {
        if lower[skip..].starts_with(prefix) {
            skip += prefix.len();
        }
    }
    lower[skip..].starts_with("github.com/").then(|| &word[skip + "github.com/".len()..])
}

/// A name that an owner or a repository can have.
fn named(text: &str) -> Option<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (text.bytes().any(|b| b.is_ascii_alphanumeric()) && text.bytes().all(fits)).then_some(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_commit(text: &str) -> bool {
    (COMMIT_MIN..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_read_however_it_is_cited() {
        for word in [
            "8689",
            "#8689",
            "calico#8689",
            "projectcalico/calico#8689",
            "ProjectCalico/Calico#8689",
            "https://github.com/projectcalico/calico/issues/8689",
            "http://www.github.com/projectcalico/calico/issues/8689/",
            "HTTPS://GitHub.com/projectcalico/calico/pull/8689/files?w=1#diff",
            "github.com/projectcalico/calico/issues/8689#issuecomment-2063999999",
            "<https://github.com/projectcalico/calico/issues/8689?q=is%3Aissue>.",
            "(projectcalico/calico#8689)",
        ] {
            let read = Citation::read(word).unwrap_or_else(|| panic!("{word}"));
            assert!(read.is_calicos() && read.what() == "8689", "{word}: {read:?}");
            assert!(read.is_of("projectcalico/calico#8689"), "{word}");
            assert!(!read.is_of("projectcalico/calico#868"), "{word}");
        }
    }

    #[test]
    fn another_projects_issue_is_not_calicos() {
        for (word, reference) in [
            ("https://github.com/cilium/cilium/issues/10645", "cilium/cilium#10645"),
            ("felix#164", "projectcalico/felix#164"),
            ("https://github.com/torvalds/linux/commit/66ba215cb51323e4", "torvalds/linux@66ba215cb513"),
            ("torvalds/linux@66ba215cb51", "torvalds/linux@66ba215cb513"),
        ] {
            let read = Citation::read(word).unwrap_or_else(|| panic!("{word}"));
            assert!(!read.is_calicos() && read.is_of(reference), "{word}: {read:?}");
            assert!(!read.is_of("projectcalico/calico#10645"), "{word}");
        }
    }

    #[test]
    fn what_is_no_citation_is_none() {
        for word in [
            "",
            "#",
            "late-responder",
            "mine.toml",
            "a/b",
            "./a/b#1x",
            "projectcalico/calico8689",
            "#8689x",
            "https://github.com/projectcalico/calico",
            "https://github.com/projectcalico/calico/issues",
            "https://github.com/projectcalico/calico/blob/master/8689",
            "https://example.org/issues/8689",
            "99999999999999999999",
            "@66ba215cb513",
            "a/b/c#5",
            "é#ü",
            "github.com/",
        ] {
            assert_eq!(Citation::read(word), None, "{word}");
        }
    }
}
