//! What can fail while a node or a pod of the lab is made: whose refusal it is, in its own words.

use super::ApplyError;
use crate::host::Refused;
use netns_lab::{ExecError, NetnsError, PacketError, RtnlError, SysctlError};

/// Why namespaces of the lab could not be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// No namespace: most often a matter of rights or of a limit of the machine.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The thread that stands in the namespace is gone.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// rtnetlink refused what every lab begins with, or did not answer a question.
    #[error(transparent)]
    Netlink(#[from] RtnlError),
    /// A switch of the lab's own could not be set.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// No packet socket, or nothing to be had from it.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A change that is no question to this kernel: it has no means for it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The model refuses what the kernel has: a fault of the model.
    #[error("the model beside the kernel: {0}")]
    Model(#[from] Refused),
    /// Threads, files or mounts.
    #[error("the machine gave out: {0}")]
    Io(#[from] std::io::Error),
}
