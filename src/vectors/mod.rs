//! Recordings of a running kernel, and the model held against them.

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
