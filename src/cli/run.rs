//! `arplab run`.

use super::fail::Fail;
use super::{output, show};
use crate::choice::Seeded;
use crate::explore::Case;
use crate::gateway::SmoltcpOutside;
use crate::scenario::{Corner, Expect, HoldOverride, Overrides, Plan, Scenario};
use crate::sim;
use crate::time::Time;
use crate::trace::{
    Check, Event, Observed, Timeline, Verdict, What, check, observe, write_json, write_pcapng,
};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id, issue number, catalogue number, or a scenario file
    #[arg(required_unless_present = "replay")]
    scenario: Option<String>,
    /// Run a schedule that `explore --out` wrote: move by move, or live with holds that bring
    /// about the same order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "fix", "hold"])]
    replay: Option<PathBuf>,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    fix: Vec<String>,
    /// Hold a step for a time (0s lifts a hold), such as felix.iface-seen=5s
    #[arg(long, value_name = "STEP=DURATION")]
    hold: Vec<HoldOverride>,
    /// Run it against a real pod in namespaces of its own, in real time
    #[arg(long)]
    live: bool,
    /// Who answers for the gateway in a live run
    #[arg(long, value_enum, default_value_t = Responder::Smoltcp, requires = "live")]
    responder: Responder,
    /// What the pod's eth0 is in a live run with the smoltcp responder [default: a TAP, or a veth
    /// where /dev/net/tun is refused]
    #[arg(long, value_enum, requires = "live")]
    link: Option<Link>,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the frames as a pcapng capture with comments
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Print events as JSON lines, and the verdict as the last one
    #[arg(long)]
    json: bool,
    /// Every event on a line of its own
    #[arg(long)]
    full: bool,
}

/// Who answers for 169.254.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Responder {
    /// The software gateway
    Smoltcp,
}

/// What `eth0` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Link {
    /// A TAP device
    Tap,
    /// One end of a veth, the other read by a packet socket
    Veth,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if args.live {
        return live(args);
    }
    if let Some(path) = &args.replay {
        return super::explore::replay(path, args.full);
    }
    let (scenario, overrides, plan, _) = prepare(args)?;
    let mut events: Vec<Event> = Vec::new();
    let mut chooser = Seeded::new(args.seed);
    let outside = SmoltcpOutside::new(plan.outside.clone(), args.seed);
    events.push(start_event(&scenario, &plan, &overrides, Corner::Sim, args.seed));
    let ended = sim::run(plan, outside, &mut chooser, &mut events);
    if ended == sim::Ended::TooManyEvents {
        return Err(Fail::usage("the scenario never comes to rest: too many events at too few moments"));
    }
    report(args, &scenario, &overrides, Corner::Sim, &events)
}

#[cfg(feature = "live")]
fn live(args: &Args) -> Result<u8, Fail> {
    use crate::live::{LinkKind, LiveEnd, LiveOptions};
    // before anything else: it wants a process with one thread
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let (scenario, overrides, plan, case) = prepare(args)?;
    let corner = Corner::LiveSmoltcp;
    if let Some(why) = scenario.file().not_live.get(&corner) {
        return Err(Fail::cannot(format!("{} cannot be staged in {corner}: {why}", scenario.id())));
    }
    let mut events = vec![start_event(&scenario, &plan, &overrides, corner, args.seed)];
    let link = args.link.map(|l| match l {
        Link::Tap => LinkKind::Tap,
        Link::Veth => LinkKind::Veth,
    });
    let options = LiveOptions { seed: args.seed, link, progress: !args.json };
    let end = crate::live::run(plan, &options, &mut events).map_err(|e| Fail::cannot(e.to_string()))?;
    let code = match &case {
        Some(case) => super::explore::verdict(case, &scenario, &events, args.full)?,
        None => report(args, &scenario, &overrides, corner, &events)?,
    };
    if end == LiveEnd::Interrupted {
        eprintln!("arplab: interrupted; what is above is what was seen until then");
        return Ok(super::INTERRUPTED);
    }
    Ok(code)
}

#[cfg(not(feature = "live"))]
fn live(_: &Args) -> Result<u8, Fail> {
    Err(Fail::cannot("this arplab was built without live namespaces (feature `live`)"))
}

/// The scenario, what is changed about it, and the plan; for a replay with the holds that bring
/// about its order.
fn prepare(args: &Args) -> Result<(Scenario, Overrides, Plan, Option<Case>), Fail> {
    if let Some(path) = &args.replay {
        let (case, scenario, plan) = super::explore::load_case(path)?;
        let overrides = Overrides { holds: Vec::new(), fixes: case.fixes.clone() };
        let plan = case.held(plan);
        return Ok((scenario, overrides, plan, Some(case)));
    }
    let scenario = show::load(args.scenario.as_deref().unwrap_or_default())?;
    let overrides = Overrides { holds: args.hold.clone(), fixes: args.fix.clone() };
    let plan = scenario.plan(&overrides)?;
    Ok((scenario, overrides, plan, None))
}

/// The first event of a run: what it is.
fn start_event(scenario: &Scenario, plan: &Plan, overrides: &Overrides, corner: Corner, seed: u64) -> Event {
    let s = &plan.setting;
    let what = What::Start {
        scenario: scenario.id().to_owned(),
        title: scenario.file().title.clone(),
        corner,
        seed,
        calico: plan.version.to_string(),
        cali: s.cali.to_string(),
        pod: format!("{}/{}", s.namespace, s.pod),
        pod_ip: s.pod_ip.into(),
        fixes: overrides.fixes.clone(),
        holds: overrides.holds.iter().map(|h| format!("{}={}", h.step, h.length)).collect(),
    };
    Event { t_ns: Time::ZERO, what }
}

fn report(
    args: &Args,
    scenario: &Scenario,
    overrides: &Overrides,
    corner: Corner,
    events: &[Event],
) -> Result<u8, Fail> {
    let seen = observe(events);
    let mut expect = scenario.expectations(overrides, corner);
    if corner != Corner::Sim {
        // a live kernel announces some states only
        expect.states.retain(|s| s.is_notified());
    }
    let checks = check(&expect, &seen, !overrides.holds.is_empty());
    let ok = checks.iter().all(|c| c.ok);
    if let Some(path) = &args.pcap {
        write_capture(path, events)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        write_json(events, &mut out)?;
        let verdict =
            Verdict { result: if ok { "as expected" } else { "unexpected" }, checks: &checks, seen: &seen };
        serde_json::to_writer(&mut out, &verdict)?;
        writeln!(out)?;
    } else {
        print(args, scenario, &expect, events, &seen, &checks, &mut out)?;
    }
    Ok(if ok { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// Written beside its place and then moved there, so that nobody meets half a file.
fn write_capture(path: &Path, events: &[Event]) -> Result<(), Fail> {
    let fail = |e: &dyn core::fmt::Display| {
        Fail::usage(format!("writing the capture {} failed: {e}", path.display()))
    };
    let mut bytes = Vec::new();
    write_pcapng(events, &mut bytes).map_err(|e| fail(&e))?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(|e| fail(&e))?;
    file.write_all(&bytes).map_err(|e| fail(&e))?;
    file.persist(path).map_err(|e| fail(&e))?;
    Ok(())
}

fn print(
    args: &Args,
    scenario: &Scenario,
    expect: &Expect,
    events: &[Event],
    seen: &Observed,
    checks: &[Check],
    out: &mut dyn Write,
) -> Result<(), Fail> {
    let style = output::style(args.full);
    writeln!(out, "{}: {}", scenario.id(), scenario.file().title)?;
    writeln!(out, "{}\n", crate::trace::headline(events))?;
    out.write_all(Timeline::render(events, style).as_bytes())?;
    writeln!(out, "\n{}", crate::trace::summary(seen, style))?;
    let kernel = crate::trace::kernel_view(events);
    if !kernel.is_empty() {
        writeln!(out, "{kernel}")?;
    }
    print_checks(expect, checks, style.unicode, out)?;
    print_fixes(args, scenario, out)
}

fn print_checks(expect: &Expect, checks: &[Check], unicode: bool, out: &mut dyn Write) -> Result<(), Fail> {
    if *expect == Expect::default() {
        return Ok(writeln!(out, "Nothing is expected of this run.")?);
    }
    let skipped = checks.iter().filter(|c| c.skipped).count();
    let bad: Vec<&Check> = checks.iter().filter(|c| !c.ok).collect();
    let checked = checks.len() - skipped;
    let rest = if skipped == 0 {
        String::new()
    } else {
        format!(" ({skipped} not looked at: they depend on a hold that you changed)")
    };
    if bad.is_empty() {
        return Ok(writeln!(out, "As expected: {checked} of {checked} checks{rest}.")?);
    }
    writeln!(out, "NOT as expected: {} of {checked} checks failed{rest}.", bad.len())?;
    for c in bad {
        let mark = if unicode { "✗" } else { "x" };
        writeln!(out, "  {mark} {}: expected {}, seen {}", c.what, c.expected, c.seen)?;
    }
    Ok(())
}

fn print_fixes(args: &Args, scenario: &Scenario, out: &mut dyn Write) -> Result<(), Fail> {
    if args.fix.is_empty() && !scenario.file().fixes.is_empty() {
        writeln!(out, "\nTry a fix:")?;
        for fix in &scenario.file().fixes {
            writeln!(out, "  --fix {:<28} {}: {}", fix.name.get_ref(), show::effect(fix.effect), fix.title)?;
        }
    }
    Ok(())
}
