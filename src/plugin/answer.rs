//! The result of ADD, in the form of its version.

use super::call::Call;
use super::drive::Added;
use super::ipam::Lease;
use super::job::Job;
use crate::addr::Mac;
use crate::control::{GATEWAY, Setting};
use serde_json::{Map, Value, json};

/// The result: both ends, the addresses, the routes. The gateway of the addresses is the one that the
/// container has, whatever the IPAM plugin calls its subnet's.
pub(super) fn result(call: &Call, job: &Job, setting: &Setting, lease: &Lease, added: &Added) -> Value {
    // from 1.0.0 on an address says its family by itself
    let says_family = !call.is_at_least("1.0.0");
    let ip = |address: String, gateway: String, family: &str| {
        let mut ip = json!({ "address": address, "gateway": gateway, "interface": 1 });
        if says_family && let Value::Object(ip) = &mut ip {
            ip.insert("version".into(), family.into());
        }
        ip
    };
    let (mut ips, mut routes) = (Vec::new(), Vec::new());
    if let Some(ip4) = lease.ip {
        ips.push(ip(format!("{ip4}/32"), GATEWAY.to_string(), "4"));
        routes.push(json!({ "dst": "0.0.0.0/0", "gw": GATEWAY.to_string() }));
    }
    if let Some(ip6) = lease.ip6 {
        let gateway = Mac::CALICO.link_local().to_string();
        ips.push(ip(format!("{ip6}/128"), gateway.clone(), "6"));
        routes.push(json!({ "dst": "::/0", "gw": gateway }));
    }
    let dns = call.config.get("dns").cloned().or_else(|| lease.dns.clone());
    json!({
        "cniVersion": call.version(),
        "interfaces": [
            { "name": setting.cali.to_string(), "mac": added.cali_mac.to_string() },
            { "name": job.ifname.to_string(), "mac": setting.pod_mac.to_string(), "sandbox": job.netns.display().to_string() },
        ],
        "ips": ips,
        "routes": routes,
        "dns": dns.unwrap_or_else(|| Value::Object(Map::new())),
    })
}
