//! Files that people name to be read.

use std::fs::File;
#[cfg(feature = "cli")]
use std::io::Read as _;
use std::io::{Error, Result};
use std::path::Path;

/// Opens a regular file to read. Anything else is refused before it is opened: a FIFO whose writer never
/// comes, a device without an end, a directory.
pub(crate) fn open(path: &Path) -> Result<File> {
    if std::fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    Err(Error::other("it is no regular file"))
}

/// As [`open`], but what this process has open already (`/dev/stdin`, a shell's `<(...)`) may be a pipe.
#[cfg(feature = "cli")]
pub(crate) fn open_or_stream(path: &Path) -> Result<File> {
    let streams = ["/dev/stdin", "/dev/fd", "/proc/self/fd"];
    if streams.iter().any(|stream| path.starts_with(stream)) { File::open(path) } else { open(path) }
}

/// The text of such a file or stream, of at most `max` bytes.
#[cfg(feature = "cli")]
pub(crate) fn text(path: &Path, max: u64) -> Result<String> {
    let mut bytes = Vec::new();
    open_or_stream(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(Error::other(format!("it is larger than {} KiB, which none needs", max >> 10)));
    }
    String::from_utf8(bytes).map_err(|e| Error::other(format!("it is not UTF-8 text: {e}")))
}
