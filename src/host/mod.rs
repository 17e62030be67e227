//! The host side as a pure model: what a Linux network namespace knows ([`HostState`]), how it
//! changes ([`Mutation`]), and what follows for an ARP request ([`decide()`]).
//!
//! Nothing here does I/O, reads a clock or draws a random number. The same state and decision
//! serve the simulator, the live gateway, the explorer and the diagnosis of a real node.

mod apply;
mod apply_addr;
mod apply_addr6;
mod apply_link;
mod apply_route;
mod apply_route6;
mod apply_sysctl;
pub mod command;
mod condition;
pub mod conf;
mod decide;
mod explain;
mod fib;
pub mod frame;
pub mod hook;
mod input;
mod link;
mod local;
mod met;
mod mutation;
pub mod nd;
mod ndisc;
mod ns_reason;
mod own6;
mod process;
mod proxy;
mod reason;
mod repair;
mod route;
mod route6;
mod state;

pub use condition::Condition;
pub use decide::{After, Decision, Learn, Outcome, Request, decide, process, process_frame};
pub use explain::{Status, Term, explain};
pub use fib::{AddrType, FibHit, FibMiss, Flow, LOOPBACK};
pub use input::{Input, InputFault, InputRoute, SourceFault};
pub use link::{AddrAssign, IfIndex, Ifa4, Ifa6, Link, LinkKind};
pub use mutation::{
    Effect, Effects, Errno, Family, HookSpec, HopSpec, KernelChange, LinkChange, Mutation, Op, Refused,
    RouteSpec, SetNud,
};
pub use ndisc::{NaVerdict, NsDecision, NsOutcome, NsReply, NsRequest, decide_ns, judge_na, process_ns};
pub use ns_reason::NsReason;
pub use reason::{Pointer, Reason, Silence};
pub use route::{
    NextHop, Route, RouteKind, RtProto, RtScope, Rule, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
pub use route6::Route6;
pub use state::{HostState, ProxyEntry};
