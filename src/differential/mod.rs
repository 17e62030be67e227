//! The differential test: random host states, each staged in a network namespace and asked with
//! real frames, and the same in the model. Both must say the same.
//!
//! # Theory of operation
//!
//! A state is a list of changes ([`crate::strategies`]). Each change is made twice, in a new
//! namespace by netlink and `/proc/sys`, and in a [`HostState`](crate::host::HostState); a change
//! that one of them refuses the other must refuse with the same error. Then the settings and
//! routes of both are compared, and then the requests are asked.
//!
//! **Silence is not waited for.** A frame sent through a veth is worked on in the context of its
//! sender, reply included, before the next one is. So each request is followed by a frame of an
//! experimental Ethertype; once that has come out at the other end, and one sent back from there
//! has returned, the request has been dealt with and what was answered is here. Nothing in the
//! kernel promises that, so a disagreement is believed only if it shows again in new namespaces,
//! with time to spare. A late answer cannot be taken for one of another request: each has a sender
//! MAC of its own.
//!
//! **Reasons are put to the test.** When the model gives a reason for silence that can be
//! repaired, that repair, and nothing else, is made in both, and both are asked again; then the
//! next reason, until there is an answer or nothing left to repair. So a reason that only happens
//! to be silent for the wrong cause shows as a repair that does not help.
//!
//! **A failure is made small.** Changes and requests are taken away one by one while both still
//! disagree, and what is left is printed as the commands that build it.

mod check;
mod check6;
mod heard;
mod reaper;
mod report;
mod rig;
mod run;
mod start;

pub use report::{ComparedCounts, Contrast, Disagreement, Summary, Where};
pub use run::{DifferentialOptions, LabError, default_jobs, run};
