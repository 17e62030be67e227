//! The lab as its users meet it: the command, its scenarios, its outputs, its promises.

#[path = "lab/capture.rs"]
mod capture;
#[path = "lab/catalogue.rs"]
mod catalogue;
#[path = "lab/command.rs"]
mod command;
#[path = "lab/corpus.rs"]
mod corpus;
#[path = "lab/determinism.rs"]
mod determinism;
#[path = "lab/properties.rs"]
mod properties;
#[path = "lab/random.rs"]
mod random;
#[path = "lab/readme.rs"]
mod readme;
#[path = "lab/run.rs"]
mod run;
