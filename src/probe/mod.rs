//! A conformance test of whoever answers ARP for a pod's gateway, as a black box: crafted frames go
//! in, what comes back is timed and judged clause by clause.
//!
//! # Theory of operation
//!
//! An [`Answerer`] takes frames and gives back what it says: the model of a node ([`ModelAnswerer`]),
//! or whatever sits at the other end of an interface ([`WireAnswerer`]: a kernel, this gateway on a
//! TAP, a daemon). [`probe`] puts the same questions to each and judges the answers by the same
//! clauses, so that two columns of a report can be compared.
//!
//! Clauses are of two ranks ([`Rank`]). Those that a standard or the pod's own kernel needs are
//! *required*. The others say what Linux does where the standards leave it open; an answerer that
//! differs there serves its pod all the same.
//!
//! Silence proves nothing where nobody listens. So the plain broadcast request comes first, and if it
//! is not answered nothing else is judged; and it comes again at the end, after everything malformed.

mod answer;
mod ask;
mod clause;
mod model;
mod report;
mod scene;
#[cfg(feature = "live")]
mod stage;
#[cfg(feature = "live")]
mod wire;

pub use ask::probe;
pub use clause::{Clause, Rank};
pub use model::ModelAnswerer;
pub use report::{Finding, Findings, ReportColumn, ReportTable};
pub use scene::{Scene, SceneError};
#[cfg(feature = "live")]
pub use stage::SceneStage;
#[cfg(feature = "live")]
pub use wire::WireAnswerer;

use crate::addr::Mac;
use crate::time::Span;
use std::net::Ipv4Addr;

/// Who asks, for whom, and with how much patience.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The address that is to be answered for.
    pub gateway: Ipv4Addr,
    /// The pod's address.
    pub pod_ip: Ipv4Addr,
    /// The pod's MAC.
    pub pod_mac: Mac,
    /// The MAC that answers must name; any unicast MAC when it is not known.
    pub mac: Option<Mac>,
    /// An address beyond the gateway, which proxy ARP answers for as well.
    pub beyond: Ipv4Addr,
    /// The answerer has the gateway's address itself: then a probe for it must be answered
    /// (RFC 5227 2.1.1), while proxy ARP never answers one.
    pub owns_gateway: bool,
    /// How long an answer is waited for that should come.
    pub patience: Span,
    /// How long it is listened for an answer that should not come.
    pub quiet: Span,
    /// The latest that an answer counts as given at once.
    pub at_once: Span,
}

impl Asker {
    /// A pod asks for 169.254.1.1.
    #[must_use]
    pub fn of_pod(pod_ip: Ipv4Addr, pod_mac: Mac) -> Asker {
        Asker {
            gateway: crate::control::GATEWAY,
            pod_ip,
            pod_mac,
            mac: None,
            beyond: Ipv4Addr::new(203, 0, 113, 8),
            owns_gateway: false,
            patience: Span::from_secs(1),
            quiet: Span::from_ms(200),
            // a busy machine included; half of the kernel's default proxy_delay of up to 0.8 s is later
            at_once: Span::from_ms(200),
        }
    }
}

/// A frame that came from the answerer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswererFrame {
    /// When, from the first frame of the question.
    pub after: Span,
    /// From the Ethernet header on, as it was heard.
    pub bytes: Vec<u8>,
}

/// Why a question could not be put.
#[derive(Debug, thiserror::Error)]
#[error("asking {whom} failed: {why}")]
pub struct AskError {
    /// Who was asked: the model, or an interface.
    pub whom: String,
    /// What happened, and what to do.
    pub why: String,
}

/// Why an answerer has no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A question could not be put.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The scene could not be staged on this kernel.
    #[cfg(feature = "live")]
    #[error("staging the node on this kernel failed: {0}")]
    Stage(#[from] crate::namespace::StageError),
    /// There is no kernel to ask here, and why.
    #[error("{0}")]
    NotHere(String),
}

/// Whoever answers.
pub trait Answerer {
    /// Puts frames on the wire, one right after the other, and gives back what is heard within
    /// `patience` of the last. It may come back sooner once `enough` frames of ARP other than
    /// requests were heard; 0 means to listen to the end.
    fn ask(
        &mut self,
        frames: &[Vec<u8>],
        patience: Span,
        enough: usize,
    ) -> Result<Vec<AnswererFrame>, AskError>;
}
