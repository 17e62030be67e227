//! What to run, and where.

use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    time::Duration,
};

use super::{Lever, Outcome, Room, Rules, SuperviseError, run, start::MountWords};
use crate::{Netns, NetnsId};

/// How long children may go on after the command's first process, unless told otherwise.
const LINGER: Duration = Duration::from_millis(500);
/// How much of what it writes is kept, in bytes, unless told otherwise.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Something mounted before the command begins, in a mount namespace that ends with it. The place
/// must be there.
#[derive(Clone, Debug)]
pub enum Mount {
    /// A file or folder, seen at another place too.
    Bind {
        /// The file or folder that is shown.
        from: PathBuf,
        /// The path at which the program sees it.
        at: PathBuf,
    },
}

/// A command to be supervised.
#[derive(Debug)]
pub struct Command {
    pub(super) program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    pub(super) input: Vec<u8>,
    pub(super) netns: Option<OwnedFd>,
    /// Network namespaces mounted on files.
    netns_files: Vec<(OwnedFd, PathBuf)>,
    mounts: Vec<Mount>,
    pub(super) room: Option<OwnedFd>,
    pub(super) names: Vec<(NetnsId, String)>,
    pub(super) timeout: Option<Duration>,
    pub(super) linger: Duration,
    pub(super) output_bytes_max: usize,
    pub(super) lever: Option<Lever>,
}

/// A command's words as the kernel takes them.
pub(super) struct CommandWords {
    pub(super) program: CString,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Vec<CString>,
    pub(super) directory: CString,
    pub(super) mounts: Vec<MountWords>,
}

impl Command {
    /// The program in this file; it is not looked for in `PATH`. It gets no environment and
    /// nothing to read, and starts in `/`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
            input: Vec::new(),
            netns: None,
            netns_files: Vec::new(),
            mounts: Vec::new(),
            room: None,
            names: Vec::new(),
            timeout: None,
            linger: LINGER,
            output_bytes_max: OUTPUT_BYTES_MAX,
            lever: None,
        }
    }

    /// Arguments, after the program's name.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// What it reads on its standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// The network namespace that it starts in. Requests name it by its label.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn netns(mut self, netns: &Netns) -> io::Result<Self> {
        self.netns = Some(netns.as_fd().try_clone_to_owned()?);
        Ok(self.name(netns))
    }

    /// Mounts a network namespace on a file that is there, as `ip netns add` does, for this
    /// command only. Requests name it by its label.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn netns_file(mut self, netns: &Netns, at: impl Into<PathBuf>) -> io::Result<Self> {
        self.netns_files.push((netns.as_fd().try_clone_to_owned()?, at.into()));
        Ok(self.name(netns))
    }

    /// Requests name this namespace by its label.
    #[must_use]
    pub fn name(mut self, netns: &Netns) -> Self {
        self.names.push((netns.id(), netns.label().to_owned()));
        self
    }

    /// The mount namespace that it starts in a copy of.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn room(mut self, room: &Room) -> io::Result<Self> {
        self.room = Some(room.descriptor()?);
        Ok(self)
    }

    /// Something to mount, after what was given before.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// All of it is killed after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long its children may go on when its first process has ended (half a second, if not
    /// told). Then they are killed.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How much is kept of each of its outputs, in bytes (1 MiB, if not told).
    #[must_use]
    pub fn output_bytes_max(mut self, bytes: usize) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Takes orders from here while it runs.
    #[must_use]
    pub fn lever(mut self, lever: &Lever) -> Self {
        self.lever = Some(lever.clone());
        self
    }

    /// Runs it to its end, on this thread. When this thread ends before, the command is killed.
    ///
    /// # Errors
    /// [`SuperviseError`] if it could not be started, or the kernel's end of the supervision
    /// failed; whatever was started is gone then. How the command itself ended is no error of
    /// this kind.
    pub fn run(&self, rules: &mut dyn Rules) -> Result<Outcome, SuperviseError> {
        run::run(self, rules)
    }

    /// Descriptors that the new process needs before it is the program.
    pub(super) fn kept(&self) -> impl Iterator<Item = &OwnedFd> {
        self.netns_files.iter().map(|(fd, _)| fd).chain(&self.room)
    }

    pub(super) fn words(&self) -> Result<CommandWords, SuperviseError> {
        let word = |what, text: &OsStr| {
            CString::new(text.as_bytes())
                .map_err(|_| SuperviseError::ZeroByte { program: self.program.clone(), what })
        };
        let named =
            [self.program.as_os_str()].into_iter().chain(self.arguments.iter().map(OsString::as_os_str));
        let arguments = named.map(|text| word("an argument", text)).collect::<Result<_, _>>()?;
        let variables = self.environment.iter().map(|(name, value)| {
            let mut text = name.clone();
            text.push("=");
            text.push(value);
            word("a variable", &text)
        });
        Ok(CommandWords {
            program: word("the name", self.program.as_os_str())?,
            arguments,
            environment: variables.collect::<Result<_, _>>()?,
            directory: word("the directory", self.directory.as_os_str())?,
            mounts: self.mount_words(word)?,
        })
    }

    fn mount_words(
        &self,
        word: impl Fn(&'static str, &OsStr) -> Result<CString, SuperviseError>,
    ) -> Result<Vec<MountWords>, SuperviseError> {
        let mut mounts = Vec::new();
        let mut add = |source: &OsStr, target: &PathBuf, kind: &str, flags, data: OsString| {
            mounts.push(MountWords {
                source: word("a mount", source)?,
                target: word("a mount", target.as_os_str())?,
                kind: word("a mount", kind.as_ref())?,
                flags,
                data: word("a mount", &data)?,
            });
            Ok(())
        };
        for mount in &self.mounts {
            match mount {
                Mount::Bind { from, at } => {
                    add(from.as_os_str(), at, "", libc::MS_BIND | libc::MS_REC, OsString::new())?;
                }
            }
        }
        for (fd, at) in &self.netns_files {
            let from = format!("/proc/self/fd/{}", fd.as_raw_fd());
            add(from.as_ref(), at, "", libc::MS_BIND, OsString::new())?;
        }
        Ok(mounts)
    }
}
