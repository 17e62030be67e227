//! The lab as its users meet it: the command, its scenarios, its outputs, its promises. No namespace
//! is made.

mod capture;
mod catalogue;
mod conform;
mod desk;
mod determinism;
mod docs;
mod explore_command;
mod explore_verdicts;
mod from_node;
mod identify;
mod learn;
mod matrix_explore;
mod picture;
mod properties;
mod random;
mod readme;
mod run;
mod shown;
