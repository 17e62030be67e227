//! Where a capture or a page goes.

use super::fail::Fail;
use crate::trace::{Trace, write_pcapng};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A capture to be written when the run is over.
pub(super) struct CaptureFile(OutFile);

impl CaptureFile {
    /// As [`OutFile::at`]; not to a terminal.
    pub(super) fn at(path: &Path) -> Result<CaptureFile, Fail> {
        let file = OutFile::at(path, "capture")?;
        if file.stdout && std::io::stdout().is_terminal() {
            return Err(Fail::usage(
                "the capture is no text for a terminal: pipe it (`--pcap - | tshark -r -`) or name a file",
            ));
        }
        Ok(CaptureFile(file))
    }

    /// Whoever reads it reads while it is written: standard output, a pipe, a device.
    #[cfg(feature = "live")]
    pub(super) fn flows(&self) -> bool {
        self.0.stdout || !self.0.is_regular()
    }

    /// Writes bytes that are a capture already, as [`OutFile::write`].
    #[cfg(feature = "live")]
    pub(super) fn put_bytes(&self, bytes: &[u8]) -> Result<(), Fail> {
        self.0.write(bytes)
    }

    /// Opens what [`CaptureFile::flows`].
    #[cfg(feature = "live")]
    pub(super) fn open(&self) -> Result<Box<dyn Write>, Fail> {
        if self.0.stdout {
            return Ok(Box::new(std::io::stdout()));
        }
        let file = OpenOptions::new().write(true).open(&self.0.path).map_err(|e| self.0.fail(&e))?;
        Ok(Box::new(file))
    }

    /// What went wrong, with the path.
    #[cfg(feature = "live")]
    pub(super) fn fail(&self, why: &dyn core::fmt::Display) -> Fail {
        self.0.fail(why)
    }

    /// As [`OutFile::write`].
    pub(super) fn write(&self, events: &Trace) -> Result<(), Fail> {
        let mut bytes = Vec::new();
        write_pcapng(events, &mut bytes).map_err(|e| self.0.fail(&e))?;
        self.0.write(&bytes)
    }
}

/// A file to be written when the work is over.
pub(super) struct OutFile {
    path: PathBuf,
    what: &'static str,
    /// Its path is `-`.
    stdout: bool,
}

impl OutFile {
    /// Looks before the work whether the place can be written, so that none is done in vain.
    /// `what` says in errors what it is. `-` is standard output, which is not the report's then.
    pub(super) fn at(path: &Path, what: &'static str) -> Result<OutFile, Fail> {
        let file = OutFile { path: path.to_owned(), what, stdout: path == Path::new("-") };
        if file.stdout {
            if !super::output::take_stdout() {
                return Err(Fail::usage(format!(
                    "the {what} cannot go to standard output: another file goes there already"
                )));
            }
        } else if file.is_regular() {
            file.beside().map_err(|e| file.fail(&e))?;
        } else if path.is_dir() {
            return Err(file.fail(&"it is a directory"));
        }
        Ok(file)
    }

    /// A new file or a regular one, links followed; not a device or a pipe, which must stay what
    /// they are.
    fn is_regular(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(there) => there.is_file(),
            // a link to nowhere is written through like a device
            Err(_) => !self.path.is_symlink(),
        }
    }

    /// A file beside the one that is wanted.
    fn beside(&self) -> std::io::Result<(NamedTempFile, PathBuf)> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let dir = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // the umask takes its part of it, as of any new file
        let mode = fs::metadata(&target).map_or(0o666, |m| m.permissions().mode() & 0o777);
        builder.prefix(".arplab-").permissions(Permissions::from_mode(mode));
        // the name of a file that nobody asked for would only puzzle
        let puzzles = |e: std::io::Error| match e.kind() {
            ErrorKind::NotFound => {
                std::io::Error::new(ErrorKind::NotFound, format!("there is no directory {}", dir.display()))
            }
            kind => std::io::Error::from(kind),
        };
        let file = builder.tempfile_in(dir).map_err(puzzles)?;
        Ok((file, target))
    }

    /// Writes it: beside its place and then moved there, so that nobody meets half a file.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Fail> {
        self.put(bytes).map_err(|e| match e.kind() {
            // its reader has seen enough
            ErrorKind::BrokenPipe if self.stdout => Fail::from(e),
            _ => self.fail(&e),
        })
    }

    fn put(&self, bytes: &[u8]) -> std::io::Result<()> {
        if self.stdout {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes)?;
            return out.flush();
        }
        if self.is_regular() {
            let (mut file, target) = self.beside()?;
            file.write_all(bytes)?;
            file.persist(target).map_err(|e| e.error)?;
            return Ok(());
        }
        let mut file: File = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all(bytes)
    }

    /// What went wrong, with the path.
    pub(super) fn fail(&self, why: &dyn core::fmt::Display) -> Fail {
        Fail::usage(format!("writing the {} {} failed: {why}", self.what, self.path.display()))
    }
}
