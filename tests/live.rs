//! The live lab: a real pod, its real kernel, real time, and nothing left when it is over.

#[path = "live/agreement.rs"]
mod agreement;
#[path = "live/clients.rs"]
mod clients;
#[path = "live/front.rs"]
mod front;
#[path = "live/leftovers.rs"]
mod leftovers;
#[path = "live/process.rs"]
mod process;
#[path = "live/view.rs"]
mod view;
