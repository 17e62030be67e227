//! Who acts in a run, and with which of Calico's settings: the tables `[calico]` and `[cni]`.

use super::layers::Layers;
use crate::control::{
    ActorName, Actors, CalicoVersion, Cni, CniOptions, Felix, FelixOptions, Kubelet, RealCni, RealSteps,
    Script, ScriptStep, Setting,
};
use crate::host::conf::{Conf4, Scope, SysctlKey};
use crate::host::{HostState, RtProto};
use crate::time::Span;

pub(super) fn actors(
    layers: &Layers<'_>,
    setting: &Setting,
    host: &HostState,
    script: &[(ActorName, ScriptStep)],
    real: Option<RealSteps>,
) -> Vec<Actors> {
    let version = layers.version();
    let options = CniOptions {
        endpoint_status_wait: layers.last(|c| c.endpoint_status_wait),
        pod_hwaddr: layers.last(|c| c.pod_hwaddr),
    };
    let felix = !layers.calico.iter().any(|c| c.no_felix);
    let kubelet = Kubelet::new(layers.waits.is_some());
    let mut actors = match real {
        Some(steps) => vec![
            Actors::Kubelet(kubelet.that_retries(steps.judged().del_fail)),
            Actors::RealCni(RealCni::new(steps, felix)),
        ],
        None => vec![Actors::Kubelet(kubelet), Actors::Cni(Cni::new(version, options, setting))],
    };
    if felix {
        actors.push(Actors::Felix(Box::new(Felix::new(felix_options(layers, version, host)))));
    }
    for name in ActorName::ALL {
        let steps: Vec<ScriptStep> =
            script.iter().filter(|(a, _)| *a == name).map(|(_, s)| s.clone()).collect();
        if !steps.is_empty() {
            actors.push(Actors::Script(Script::new(name, steps)));
        }
    }
    actors
}

fn felix_options(layers: &Layers<'_>, version: CalicoVersion, host: &HostState) -> FelixOptions {
    let default_rp = host.sysctl(&SysctlKey::Conf4(Scope::Default, Conf4::RpFilter)).unwrap_or(1);
    let mut o = FelixOptions::new(version, default_rp);
    let set = |slot: &mut Span, value: Option<Span>| {
        if let Some(v) = value {
            *slot = v;
        }
    };
    set(&mut o.route_refresh, layers.last(|c| c.route_refresh));
    set(&mut o.iface_refresh, layers.last(|c| c.interface_refresh));
    set(&mut o.ipset_refresh, layers.last(|c| c.ipsets_refresh));
    set(&mut o.route_grace, layers.last(|c| c.route_grace));
    if let Some(r) = layers.last(|c| c.datastore_delay) {
        o.datastore_delay = (r.from, r.to);
    }
    if let Some(r) = layers.last(|c| c.apply_takes) {
        o.apply_takes = (r.from, r.to);
    }
    if let Some(remove) = layers.last(|c| c.remove_external_routes) {
        o.removes_unknown_routes = remove;
    }
    if let Some(number) = layers.last(|c| c.device_route_protocol) {
        o.route_protocol = RtProto(number);
    }
    if let Some(refresh) = layers.last(|c| c.static_arp_refresh) {
        o.static_arp_refresh = refresh;
    }
    o
}
