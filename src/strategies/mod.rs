//! proptest strategies for what the lab judges: host states as lists of changes, requests as
//! frames, whole scenarios, and schedules of a scenario's events.
//!
//! A random state is hardly ever one that answers: too much must be right at the same time. So a
//! state here is the one that Calico leaves on a node, nearly always complete, with some changes
//! strewn in, most of which concern what decides about an answer. Half of the requests are then
//! answered, and many of the others would be but for one thing, which is where a model that has a
//! condition wrong gives itself away.
//!
//! All values shrink: changes and requests go one by one, then what they are made of.

mod ask;
mod change;
mod place;
mod route;
mod scenario;
mod schedule;
mod six;
mod state;
mod twist;

pub use ask::{Inquiry, To, ask};
pub use change::change;
pub use place::{
    CALI, DEVICES, GATEWAY, NEIGHBOUR, NODE, OTHER_POD, OUTSIDE, POD, SERVICE, UP0, UP1, address, device,
    prefix,
};
pub use route::{route_change, rule_change};
pub use scenario::{Drawn, DrawnClient, scenario};
pub use schedule::schedule;
pub use six::{GATEWAY6, Solicitation, Toward, host_changes6, solicitation};
pub use state::{HostCase, Offer, host_case, host_case6, host_changes};
