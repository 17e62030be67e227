//! The parameters of a device, in ticks where they are times.

use super::clock::KernelClock;
use crate::host::conf::{NeighSet, NeighVar};

/// The parameters of a device, in ticks where they are times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// mcast_solicit
    pub mcast: u32,
    /// ucast_solicit
    pub ucast: u32,
    /// app_solicit
    pub app: u32,
    /// mcast_resolicit
    pub mcast_resolicit: u32,
    /// retrans_time_ms, ticks
    pub retrans: u64,
    /// HZ/100: no timer is armed for less, ticks
    pub min_interval: u64,
    /// base_reachable_time_ms, ticks
    pub base_reachable: u64,
    /// What was drawn from it for the device, ticks
    pub reachable: u64,
    /// delay_first_probe_time, ticks
    pub delay_first_probe: u64,
    /// unres_qlen_bytes
    pub unres_qlen_bytes: u32,
    /// locktime, ticks
    pub locktime: u64,
    /// gc_stale_time, ticks
    pub gc_stale: u64,
}

impl Timing {
    /// The parameters of `set`, with the reachable time that was drawn for the device.
    #[must_use]
    pub fn new(clock: &KernelClock, set: &NeighSet, reachable: u64) -> Timing {
        let count = |v| u32::try_from(set.get(v)).unwrap_or(0);
        let seconds = |v| clock.ticks_of_ms(u64::from(count(v)) * 1000);
        let ms = |v| clock.ticks_of_ms(u64::from(count(v)));
        Timing {
            mcast: count(NeighVar::McastSolicit),
            ucast: count(NeighVar::UcastSolicit),
            app: count(NeighVar::AppSolicit),
            mcast_resolicit: count(NeighVar::McastResolicit),
            retrans: ms(NeighVar::RetransTimeMs),
            // HZ / 100 rounds down: 2 ticks of 4 ms at 250 Hz
            min_interval: clock.ticks_of_ms(1000) / 100,
            base_reachable: ms(NeighVar::BaseReachableTimeMs),
            reachable,
            delay_first_probe: seconds(NeighVar::DelayFirstProbeTime),
            unres_qlen_bytes: count(NeighVar::UnresQlenBytes),
            gc_stale: seconds(NeighVar::GcStaleTime),
            locktime: clock.user_hz_ticks(u64::from(count(NeighVar::Locktime))),
        }
    }
}
