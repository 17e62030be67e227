//! Who works at a container's interface: one call at a time.
//!
//! A runtime should not call twice at once for the same container and interface, but some do after a
//! timeout. Each would then undo what the other has made.

use super::call::Call;
use super::failure::Failure;
use super::state::FOLDER;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A call's turn: flock(2) on a file that is there as long as somebody works or waits. The kernel gives
/// it back when the process ends, however it does; no child has it.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    /// Locked as long as it is open.
    _file: File,
}

impl Turn {
    /// Waits until no other call is at work for the container's interface, in whichever network: the
    /// interface and its host end have the same names in all of them.
    ///
    /// # Errors
    ///
    /// If the file cannot be made or locked.
    pub(super) fn take(call: &Call) -> Result<Turn, Failure> {
        // no network is called so
        let path = Path::new(FOLDER).join(format!("{}@{}.lock", call.container, call.ifname));
        let taken = locked(&path);
        let file = taken.map_err(|e| {
            Failure::io(format!("{}, the lock of the container, cannot be taken", path.display()), e)
        })?;
        Ok(Turn { path, _file: file })
    }

    /// Lets the next one work, and removes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be removed. The lock is given back all the same.
    pub(super) fn end(self) -> Result<(), Failure> {
        remove(&self.path)
    }
}

/// Removes what calls have left that were killed: the files that nobody has locked.
///
/// # Errors
///
/// If one cannot be removed.
pub(super) fn sweep() -> Result<(), Failure> {
    let Ok(files) = std::fs::read_dir(FOLDER) else { return Ok(()) };
    let paths = files.flatten().map(|file| file.path());
    let mut done = Ok(());
    for path in paths.filter(|path| path.extension().is_some_and(|it| it == "lock") && path.is_file()) {
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path).unwrap_or(false) {
            done = done.and(remove(&path));
        }
    }
    done
}

fn locked(path: &Path) -> io::Result<File> {
    loop {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(FOLDER)))?;
        let file = match File::options().create(true).truncate(false).write(true).open(path) {
            // the last one out has removed the folder meanwhile
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        file.lock()?;
        // who had it before has removed it, and the next one makes another
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// Whether the file is still the one of that path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes the file of a lock that the caller has.
fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            let what = format!("{}, the lock of the container, cannot be removed", path.display());
            Err(Failure::io(what, e))
        }
        _ => {
            // not empty as long as there are others
            let _ = std::fs::remove_dir(FOLDER);
            Ok(())
        }
    }
}
