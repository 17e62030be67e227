//! A CNI plugin whose author moves the return of ADD before the host's route: is any pod hurt?
//!
//! Run it: `cargo run --example changed_plugin_order`

use arplab::control::ActorName;
use arplab::explore::{Bounds, Case, Explorer, Program, Property, Stands, basic};
use arplab::time::Span;
use arplab::trace::{Style, Timeline};

/// The plugin that configures the host itself, as releases since 2017 do; `route_first` is the
/// order as it is, without it the one to be tested.
fn plugin(route_first: bool) -> Program {
    let plugin = basic::plugin()
        .step("cni.sysctl.proxy_delay")
        .only_after(&["cni.wep-write"])
        .host("sysctl -w net.ipv4.neigh.{cali}.proxy_delay=0")
        .step("cni.sysctl.proxy_arp")
        .host("sysctl -w net.ipv4.conf.{cali}.proxy_arp=1")
        .step("cni.sysctl.forwarding")
        .host("sysctl -w net.ipv4.conf.{cali}.forwarding=1")
        .step("cni.host-route-add")
        .takes(Span::from_us(30), Span::from_us(120))
        .host("ip route add {pod_ip} dev {cali} scope link");
    let last = if route_first { "cni.host-route-add" } else { "cni.sysctl.forwarding" };
    plugin.rule(last, "cni.add-return")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nobody = Program::new(ActorName::Felix);
    let properties = vec![
        "add-waits-for-gateway".parse()?,
        "no-divide-window".parse()?,
        Property::sometimes("ADD returns", |facts| facts.add_returned.is_some()),
    ];
    let bounds = Bounds { late_max: Span::from_secs(3), ..Bounds::default() };
    for route_first in [true, false] {
        let plan = basic::race_of(&plugin(route_first), &nobody, 3)?;
        let report = Explorer::new(plan.clone()).bounds(bounds.clone()).properties(properties.clone()).run();
        let order = if route_first { "route, then return" } else { "return without waiting for the route" };
        println!(
            "{order}: {} schedules, {}",
            report.schedules,
            if report.ok() { "all well" } else { "FAILS" }
        );
        let Some(failing) = report.failing else { continue };
        println!("{}", Timeline::render(&failing.events, Style { unicode: true, ..Style::default() }));
        // the file to keep beside the code of the plugin
        let case = Case::new(&failing.schedule, &bounds, &properties, Stands::Fails);
        println!("{}", case.to_text()?);
        case.check(plan, &properties)?;
    }
    Ok(())
}
