//! Limits of the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Errno;

/// Raises the soft limit on open files to the hard one and returns it; see getrlimit(2).
///
/// A namespace holds one descriptor, and four more once its blocking facade is used, so the
/// usual soft limit of 1024 ends a lab at some 200 pods. The hard limit is half a million on
/// most machines. Limits above 1024 break only programs that use select(2).
///
/// # Errors
/// What the kernel said; not to be expected.
pub fn raise_open_file_limit() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_open_file_limit().expect("a limit");
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE), Ok((raised, raised)));
    }
}
