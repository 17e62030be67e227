//! What answers a pod: the host's namespace, and the world behind it.

pub mod delay;
pub mod lab;
mod pair;
mod reflex;

pub use pair::{Act, Pair, Seen, Side, Watch};
pub use reflex::{Endpoint, Reflex, Service};
