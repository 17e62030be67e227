//! Smoke.
use arplab::explore::*;
use arplab::scenario::{catalogue, Overrides};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let s = catalogue::find(&a[1]).unwrap().remove(0);
    let late: Option<u16> = a[2].parse().ok();
    let merge = a.get(3).is_none_or(|m| m != "nomerge");
    let mut plan = s.plan(&Overrides::default()).unwrap();
    if a.iter().any(|x| x == "nohold") { plan.holds.clear(); }
    if a.iter().any(|x| x == "one") { plan.clients.truncate(1); plan.clients[0].stop_after = Some(1); }
    let threads = if a.iter().any(|x| x == "t1") { 1 } else { 2 };
    let r = Explorer::new(plan).bounds(Bounds { late, late_max: arplab::time::Span::from_secs(4), horizon: arplab::time::Span::from_secs(30), ..Bounds::default() }).merge_states(merge).threads(threads).shrink(false).run();
    println!("{:?}\nschedules {} states {} avoided {} in {:?}: {:.0} schedules/s {:.0} states/s", r.covered, r.schedules, r.states, r.avoided, r.elapsed, r.schedules as f64 / r.elapsed.as_secs_f64(), r.states as f64 / r.elapsed.as_secs_f64());
    println!("{:#?}", r.properties);
    for d in &r.delays { println!("{} {}", d.0, d.1); }
    if let Some(f) = &r.failing { println!("{:?} {:?}", f.cost, f.lacks); println!("{}", arplab::trace::Timeline::render(&f.events, arplab::trace::Style{color:false,unicode:true,full:false})); }
}
