//! What happened: one stream of events for every corner, and what is made of it: a timeline to
//! read, JSON lines, a capture for Wireshark, the observations that expectations are checked
//! against.

mod account;
mod check;
mod compare;
mod describe;
mod event;
mod follow;
mod json;
mod observe;
mod page;
mod pcapng;
mod picture;
mod rows;
mod stream;
mod summary;
mod timeline;
mod view;
mod words;

pub use crate::packet::FrameId;
pub use account::{Spell, spells};
pub use check::{Check, check};
pub use compare::{Comparison, Difference, Told, compare, outcome};
pub use describe::{Described, describe, describe_ip};
pub use event::{
    ClientNews, Differs, Failed, FrameFate, HeldUntil, KernelTables, Loss, Ruling, Start, Undone, What, Why,
};
pub use follow::Follow;
pub use json::{JsonLine, LineFate, LineNews, LineWhat, VerdictLine, write_json, write_json_of};
pub use observe::{ClientSeen, GatewaySeen, Observed, observe};
pub use page::Style;
pub use pcapng::{Capture, PcapError, write_pcapng};
pub(crate) use picture::escaped;
pub use picture::{STYLE, Shown, title, write_body, write_html};
pub use rows::{Row, rows};
pub use stream::{Event, Kinds, Sink, Trace};
#[cfg(feature = "cli")]
pub(crate) use summary::pointer;
pub use summary::{headline, kernel_view, summary};
pub use timeline::Timeline;
pub use view::View;
#[cfg(any(feature = "cli", feature = "live"))]
pub(crate) use words::many;
#[cfg(feature = "live")]
pub(crate) use words::until;
