//! What a longer grace period of Felix's route clean-up would change: the route of a pod that
//! Felix does not know yet is removed after it, and the gateway falls silent with it.
//!
//! Run it: `cargo run --release --example changed_route_grace`

use arplab::explore::{Bounds, Explorer, Property};
use arplab::scenario::{Overrides, Scenario, catalogue};
use arplab::time::Span;

fn with_grace(source: &str, grace: &str) -> Result<Scenario, Box<dyn std::error::Error>> {
    let changed = source.replacen("[calico]", &format!("[calico]\nroute-grace = {grace:?}"), 1);
    Ok(Scenario::parse("changed route grace", &changed)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let found = catalogue::find("route-withheld")?;
    let scenario = found.first().ok_or("the catalogue has no such scenario")?;
    let bounds = Bounds {
        late: Some(1),
        late_max: Span::from_secs(30),
        horizon: Span::from_secs(75),
        ..Bounds::default()
    };
    for grace in ["10s", "60s"] {
        let mut plan = with_grace(scenario.source(), grace)?.plan(&Overrides::default())?;
        // no hold: the search finds out itself which step has to be late
        plan.holds.clear();
        plan.clients.truncate(1);
        let report = Explorer::new(plan)
            .bounds(bounds.clone())
            .properties(vec![Property::no_silence_longer_than(Span::from_secs(3))])
            .run();
        println!(
            "grace {grace}: {} schedules, {} of them fall silent",
            report.schedules, report.properties[0].lacking
        );
        if let Some(failing) = report.failing {
            println!("  the shortest has {} late step(s)", failing.cost.late);
        }
    }
    Ok(())
}
