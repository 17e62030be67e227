//! What a schedule of the basic race costs: run one by one, and with states looked at once; and
//! that it grows with the events of a run, not with the length of its windows.
//!
//! Criterion's throughput is in complete schedules a second, on one thread.

#![allow(missing_docs)] // the macro of criterion makes a public function

use arplab::control::{Hold, StepTable, Until};
use arplab::explore::{Bounds, Budget, Complete, Explorer, Grid, Property, Strategy, basic};
use arplab::scenario::Plan;
use arplab::time::Span;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn bounds() -> Bounds {
    Bounds {
        late: None,
        late_max: Span::from_secs(4),
        complete: Complete::AtRest,
        grid: Grid::none(),
        ..Bounds::default()
    }
}

fn explorer(plan: Plan, bounds: Bounds) -> Explorer {
    let properties = vec![Property::first_packet_within(Span::from_secs(1))];
    Explorer::new(plan).bounds(bounds).properties(properties).threads(1).shrink(false)
}

/// Every order of plugin, Felix and a pod that asks.
fn every_order(c: &mut Criterion) {
    let mut group = c.benchmark_group("every order of the basic race");
    group.sample_size(10);
    for (name, merge) in [("one by one", false), ("each state once", true)] {
        let explorer = explorer(basic::race(1), bounds()).merge_states(merge);
        let schedules = explorer.run().schedules;
        group.throughput(Throughput::Elements(schedules as u64));
        group.bench_function(format!("{name}, {schedules} schedules"), |b| {
            b.iter(|| black_box(explorer.run()));
        });
    }
    group.finish();
}

/// Schedules drawn in one go, so that starting a search does not count.
const DRAWN: u64 = 512;

/// A search that draws them.
fn drawing(plan: Plan) -> Explorer {
    let bounds = Bounds { horizon: Span::from_secs(7200), ..bounds() };
    explorer(plan, bounds).strategy(Strategy::Random { seed: 1 }).budget(Budget { count: DRAWN, time: None })
}

/// Schedules whose window is a second, a minute, an hour: nothing happens in it, so it costs
/// nothing; then those of a pod that asks more and more often.
fn windows_and_events(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedules drawn");
    group.throughput(Throughput::Elements(DRAWN)).sample_size(20);
    for (name, length) in [("1 s", 1), ("60 s", 60), ("3600 s", 3600)] {
        let mut plan = basic::race(1);
        plan.duration = Span::from_secs(7200);
        let step = StepTable::built_in("cni.add-return");
        plan.holds = vec![Hold { step, nth: Some(1), until: Until::Elapsed(Span::from_secs(length)) }];
        let explorer = drawing(plan);
        group.bench_function(format!("a window of {name} in which nobody asks"), |b| {
            b.iter(|| black_box(explorer.run()));
        });
    }
    for asks in [1, 10, 100] {
        let mut plan = basic::race(asks);
        plan.duration = Span::from_secs(7200);
        let explorer = drawing(plan);
        group.bench_function(format!("a pod that asks {asks} times"), |b| {
            b.iter(|| black_box(explorer.run()));
        });
    }
    group.finish();
}

criterion_group!(benches, every_order, windows_and_events);
criterion_main!(benches);
