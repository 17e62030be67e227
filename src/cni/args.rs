//! `CNI_ARGS`.

/// A text that is no `CNI_ARGS`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no CNI_ARGS: K=V;K=V is wanted, and {pair:?} is no K=V")]
pub struct CniArgsError {
    text: String,
    pair: String,
}

/// Whether plugins can read it: pairs `K=V` with semicolons between, as libcni's `LoadArgs` wants them. Which
/// keys there are is for each plugin to say.
///
/// # Errors
/// The first that is no pair: without `=`, without a key, with a second `=` or a control character.
pub fn check_args(text: &str) -> Result<(), CniArgsError> {
    let is_pair = |pair: &str| {
        let parts = pair.split_once('=');
        parts.is_some_and(|(key, value)| !key.trim().is_empty() && !value.contains('='))
            && !pair.contains(char::is_control)
    };
    // none at all are no fault
    let wrong = text.split(';').find(|pair| !text.is_empty() && !is_pair(pair));
    wrong.map_or(Ok(()), |pair| Err(CniArgsError { text: text.to_owned(), pair: pair.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_pairs() {
        for good in ["", "A=", "A=b", "IgnoreUnknown=1;K8S_POD_NAME=web-0"] {
            assert_eq!(check_args(good), Ok(()));
        }
        for bad in ["x", "=", "A", ";;;", "A=b;", ";A=b", "=b", "A=b=c", "A=b;C", "A=\0", "A=b\n"] {
            assert!(check_args(bad).is_err(), "{bad:?}");
        }
    }
}
