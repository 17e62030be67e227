//! arplab: a lab for the gateway ARP of Kubernetes pods under Calico.
#![forbid(unsafe_code)]
