//! Every order of events up to a bound.
mod bounds;
mod case;
mod draws;
mod explorer;
mod facts;
mod fingerprint;
mod node;
mod outside;
mod path;
mod random;
mod replay;
mod shrink;
mod property;
mod schedule;
mod tally;
mod tree;

pub use bounds::{Bounds, Complete, Grid};
pub use case::{Case, CaseError, Stands};
pub use draws::Draw;
pub use explorer::{Budget, Covered, DelayClass, Explorer, Failing, Fared, Report, Strategy};
pub use facts::Facts;
pub use node::Cost;
pub use outside::ReflexOutside;
pub use replay::{Replayed, replay};
pub use shrink::LeftOut;
pub use property::{KNOWN, Property, PropertyError};
pub use schedule::{Entry, Schedule};
