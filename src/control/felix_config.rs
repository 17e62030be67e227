//! Felix's timers and switches by version (catalogue 6.2 and 6.3).

use super::version::CalicoVersion;
use crate::host::RtProto;
use crate::time::Span;

/// What Felix is configured with. Built for a version, then changed by a scenario or a fix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FelixOptions {
    /// How long a route without an endpoint is left alone (routeCleanupGracePeriod, 10 s in every
    /// version; not configurable there).
    pub route_grace: Span,
    /// RouteRefreshInterval.
    pub route_refresh: Span,
    /// InterfaceRefreshInterval.
    pub iface_refresh: Span,
    /// IpsetsRefreshInterval: often the only periodic reason for a pass over the dataplane.
    pub ipset_refresh: Span,
    /// FlapDampingDelay for links that go down (v3.15 on); zero before.
    pub flap_damping: Span,
    /// Felix writes rp_filter on workload interfaces (from v3.24 at the latest), a copy of
    /// conf.default; `None` leaves it alone.
    pub rp_filter: Option<i32>,
    /// The permanent host entry for the pod is written again when the interface changes and at
    /// each route refresh; without it, only at first (v3.29.0 to v3.29.6, v3.30.0 to v3.30.3,
    /// v3.31.0: f0deb44f25, mended by 0fc1d5ee6f).
    pub static_arp_refresh: bool,
    /// News of a gone interface is taken for news of its successor of the same name (issue 11016;
    /// mended after v3.32 by ead4f41f18).
    pub mixes_indexes: bool,
    /// Felix removes routes it knows no endpoint for.
    pub removes_unknown_routes: bool,
    /// The protocol of the routes that it makes, and knows them by (DeviceRouteProtocol).
    pub route_protocol: RtProto,
    /// Time from the write of the endpoint to Felix's knowing it, from and to: API server, Typha,
    /// calculation graph.
    pub datastore_delay: (Span, Span),
    /// Time a pass takes before it reaches the interface: chains, IP sets.
    pub apply_takes: (Span, Span),
}

impl FelixOptions {
    /// The defaults of a version, on a node whose conf.default.rp_filter is `default_rp_filter`.
    #[must_use]
    pub fn new(version: CalicoVersion, default_rp_filter: i32) -> FelixOptions {
        use CalicoVersion::{V3_13, V3_24, V3_26, V3_29, V3_31};
        let old = version <= V3_13;
        let ms = Span::from_ms;
        FelixOptions {
            route_grace: Span::from_secs(10),
            route_refresh: Span::from_secs(90),
            iface_refresh: Span::from_secs(if old { 10 } else { 90 }),
            ipset_refresh: Span::from_secs(if version < V3_29 { 10 } else { 90 }),
            flap_damping: if old { Span::ZERO } else { ms(100) },
            rp_filter: (version >= V3_24).then_some(default_rp_filter),
            static_arp_refresh: !(V3_29..=V3_31).contains(&version),
            mixes_indexes: version < CalicoVersion::Master,
            removes_unknown_routes: true,
            route_protocol: RtProto::BOOT,
            datastore_delay: (ms(30), ms(250)),
            // kernel-side filtering of listings since v3.26 (c7530d972c) makes passes shorter
            apply_takes: if version < V3_26 { (ms(5), ms(80)) } else { (ms(2), ms(30)) },
        }
    }
}
