//! The host side as a pure model: what a Linux network namespace knows ([`HostState`]), how it
//! changes ([`Mutation`]), and what follows for an ARP request ([`decide()`]).
//!
//! Nothing here does I/O, reads a clock or draws a random number. The same state and decision
//! serve the simulator, the live gateway, the explorer and the diagnosis of a real node.

mod apply;
mod arp;
pub mod command;
mod fib;
mod ndisc;
mod state;

pub(crate) use apply::NO_LLADDR;
pub use apply::mutation::{
    AddrDelBy, AddrTerms, Effect, Effects, Errno, Family, HookSpec, HopSpec, KernelChange, LinkChange,
    Mutation, Op, Refused, RouteFilter, RouteSpec, RuleSpec, SetNud,
};
pub use arp::condition::Condition;
pub use arp::decide::{After, Decision, Learn, Processed, Request, decide, process, process_frame};
pub use arp::explain::{Status, Term, explain};
pub use arp::reason::{Pointer, Reason, Silence, Teller};
pub use fib::input::{InputFault, InputPacket, InputRoute, SourceFault};
pub use fib::six::{Flow6, Way6};
pub use fib::{AddrType, FibHit, FibMiss, Flow, LOOPBACK};
pub use ndisc::decide::{
    NaVerdict, NsDecision, NsOutcome, NsReply, NsRequest, decide_ns, judge_na, process_ns,
};
pub use ndisc::reason::NsReason;
pub use state::link::{AddrAssign, IfIndex, Ifa4, Ifa6, Link, LinkEvent, LinkKind};
pub use state::route::{
    NextHop, Route, RouteKind, RtProto, RtScope, Rule, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
pub use state::route6::Route6;
pub use state::selectors::{Range, Selectors, Upper};
pub use state::{HostState, ProxyEntry, conf, hook};
