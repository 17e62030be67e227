//! Recordings of a running kernel, and the model held against them.

// the recordings hold seconds as floating-point numbers; what is lost in them is far below a tick
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]

pub mod pod;
mod pod_client;
mod pod_fit;
mod pod_frame;
mod pod_many;
mod pod_plan;
mod pod_queue;
mod pod_record;
mod pod_setup;
mod pod_trace;
