//! `arplab run`.

use super::fail::Fail;
use super::output::Report;
use super::picture::{Files, begun};
#[cfg(feature = "live")]
use super::teller::Teller;
use super::{change, output, show};
use crate::choice::Seeded;
use crate::control::StepOrigin;
use crate::explore::Case;
use crate::gateway::SmoltcpOutside;
use crate::pod::ClientId;
use crate::scenario::file::ClientKind;
use crate::scenario::{ClientPlan, Corner, Expect, HoldOverride, Overrides, Plan, Scenario, mitigation};
use crate::sim;
use crate::trace::{
    Check, ClientNews, Observed, Timeline, Trace, VerdictLine, What, check, observe, write_json,
};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Columns of the summary's prose.
const WIDTH: usize = 110;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id, issue number, catalogue number, or a scenario file
    #[arg(required_unless_present = "replay")]
    scenario: Option<String>,
    /// Run a schedule that `explore --out` wrote: move by move, or live with holds that bring
    /// about the same order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "fix", "hold", "with"])]
    replay: Option<PathBuf>,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    fix: Vec<String>,
    /// Apply a mitigation, which any scenario can have; `arplab list --mitigations` lists them
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Hold a step for a time (0s lifts a hold), such as felix.iface-seen=5s; of another pod that a real
    /// plugin adds beside, "cni.pod2/link-up pod=5s"
    #[arg(long, value_name = "STEP=DURATION")]
    hold: Vec<HoldOverride>,
    /// Run it against a real pod in namespaces of its own, in real time
    #[arg(long)]
    live: bool,
    /// Who answers for the gateway in a live run
    #[arg(long, value_enum, default_value_t = ResponderArg::Smoltcp, requires = "live")]
    responder: ResponderArg,
    /// What the device is whose wire arplab holds in a live run: the pod's eth0 with the smoltcp
    /// responder, the node's uplink with the kernel's [default: a TAP, or a veth where
    /// /dev/net/tun is refused]
    #[arg(long, value_enum, requires = "live")]
    link: Option<LinkArg>,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the frames as a pcapng capture with comments; of a live run with the machine's time. With `-`,
    /// or into a pipe, a live run writes each frame when it passes, and the report goes to standard error
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write the report, text or JSON, to a file when the run is over
    #[arg(short, long, value_name = "FILE", conflicts_with = "replay")]
    output: Option<PathBuf>,
    /// Write the run as a page to look at: one file, no network needed
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// On the page, below this run, the simulator's run with a fix or a mitigation of that name, or
    /// (sim) without; may be given several times
    #[arg(long, value_name = "NAME", requires = "html", conflicts_with = "replay")]
    beside: Vec<String>,
    /// Print events as JSON lines, and the verdict as the last one; of a live run each line when it happens
    #[arg(long)]
    pub(super) json: bool,
    /// Every event on a line of its own
    #[arg(long)]
    pub(super) full: bool,
}

/// Who answers for 169.254.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum ResponderArg {
    /// The software gateway, in front of a real pod
    Smoltcp,
    /// The running kernel's own proxy ARP, in a namespace that stands for the node; a scenario with a
    /// real CNI plugin wants it
    Kernel,
}

/// What `eth0` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum LinkArg {
    /// A TAP device
    Tap,
    /// One end of a veth, the other read by a packet socket
    Veth,
}

impl Args {
    fn corner(&self) -> Corner {
        match (self.live, self.responder) {
            (false, _) => Corner::Sim,
            (true, ResponderArg::Smoltcp) => Corner::LiveSmoltcp,
            (true, ResponderArg::Kernel) => Corner::LiveKernel,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if args.live {
        return live(args);
    }
    if let Some(path) = &args.replay {
        return super::explore::replay(path, shown(args));
    }
    let (scenario, overrides, plan, _) = prepare(args)?;
    let files = files(args, &scenario, &overrides)?;
    let mut out = Report::to(args.output.as_deref())?;
    let plan = Arc::new(plan);
    let mut events = begun(&scenario, &plan, &overrides, Corner::Sim, args.seed);
    let mut chooser = Seeded::new(args.seed);
    let outside = SmoltcpOutside::new(plan.outside.clone(), args.seed);
    let ended = sim::run(plan, outside, &mut chooser, &mut events);
    if ended == sim::Ended::TooManyEvents {
        return Err(Fail::usage("the scenario never comes to rest: too many events at too few moments"));
    }
    let early = (ended == sim::Ended::TimeUp && events.plan.until_clients_done).then_some(Early::GivenUp);
    let run = Ran { args, scenario: &scenario, overrides: &overrides, corner: Corner::Sim, early };
    let opened = run.open(&events, &mut out);
    run.report(&events, &files, opened, out)
}

#[cfg(feature = "live")]
fn live(args: &Args) -> Result<u8, Fail> {
    use crate::live::{self, LiveEnd};
    // before anything else: it wants a process with one thread
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let (scenario, overrides, plan, case) = prepare(args)?;
    let corner = args.corner();
    if let Some(why) = scenario.file().not_live.get(&corner) {
        return Err(Fail::cannot(format!("{} cannot be staged in {corner}: {why}", scenario.id())));
    }
    let mut files = files(args, &scenario, &overrides)?;
    let mut out = Report::to(args.output.as_deref())?;
    let plan = Arc::new(plan);
    let mut events = begun(&scenario, &plan, &overrides, corner, args.seed);
    let options = options(args);
    let mut teller = Teller::new(args, &scenario, &mut out, files.flowing())?;
    // a replay is judged as a whole
    let end = match case {
        Some(_) => live::run(&options, &mut events),
        None => live::run_before(&options, &mut events, &mut teller),
    };
    let end = end.map_err(|e| broken(&e))?;
    let opened = teller.end(&events);
    let interrupted = match end {
        LiveEnd::Interrupted(by) => Some(by),
        LiveEnd::ClientsDone | LiveEnd::TimeUp | LiveEnd::NotAdded | LiveEnd::Told => None,
    };
    let early = match end {
        LiveEnd::Interrupted(_) => Some(Early::Interrupted),
        LiveEnd::TimeUp if events.plan.until_clients_done => Some(Early::GivenUp),
        LiveEnd::NotAdded => Some(Early::NotAdded),
        LiveEnd::TimeUp | LiveEnd::ClientsDone | LiveEnd::Told => None,
    };
    let run = Ran { args, scenario: &scenario, overrides: &overrides, corner, early };
    let code = match case {
        Some(case) if interrupted.is_none() => {
            super::explore::verdict(&case, &scenario, &events, shown(args))
        }
        Some(_) => {
            let opened = run.open(&events, &mut out);
            run.report(&events, &files, opened, out)
        }
        None => run.report(&events, &files, opened, out),
    };
    if let Some(by) = interrupted {
        if let Err(fail) = code {
            super::complain(&fail);
        }
        super::complain(&"interrupted; what is above is what was seen until then");
        return Ok(super::interrupted(by));
    }
    code
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
        let overrides = case.overrides();
        super::explore::warn_unfit(&case.replay(plan.clone()));
        let plan = case.held(plan);
        return Ok((scenario, overrides, plan, Some(case)));
    }
    let scenario = show::load(args.scenario.as_deref().unwrap_or_default())?;
    let mut overrides = change::overrides(&scenario, &args.hold, &args.fix, &args.with)?;
    overrides.corner = args.corner();
    let plan = match scenario.file().cni {
        Some(_) => with_plugin(args, &scenario, &overrides)?,
        None => scenario.plan(&overrides)?,
    };
    Ok((scenario, overrides, plan, None))
}

/// What the run leaves behind, looked at before it begins.
fn files(args: &Args, scenario: &Scenario, overrides: &Overrides) -> Result<Files, Fail> {
    let mut files = Files::at(args.pcap.as_deref(), args.html.as_deref())?;
    files.beside(&args.beside, scenario, overrides, args.seed)?;
    Ok(files)
}

/// A real plugin is rehearsed first: its steps, and what it gives the pod, are known then.
#[cfg(feature = "live")]
fn with_plugin(args: &Args, scenario: &Scenario, overrides: &Overrides) -> Result<Plan, Fail> {
    if !args.live || args.responder != ResponderArg::Kernel {
        // says what it takes
        return Ok(scenario.plan(overrides)?);
    }
    let draft = scenario.plan_with_plugin(overrides, None)?;
    let rehearsal = crate::live::rehearse(&draft, &options(args)).map_err(|e| broken(&e))?;
    Ok(scenario.plan_with_plugin(overrides, Some(&rehearsal))?)
}

#[cfg(not(feature = "live"))]
fn with_plugin(_: &Args, scenario: &Scenario, overrides: &Overrides) -> Result<Plan, Fail> {
    Ok(scenario.plan(overrides)?)
}

/// A scenario with a real plugin, rehearsed and run with the kernel as responder.
#[cfg(feature = "live")]
pub(super) fn plugin_run(scenario: &Scenario, seed: u64, progress: bool) -> Result<Trace, Fail> {
    use crate::live::{self, LiveEnd, LiveNode, LiveOptions};
    let overrides = Overrides { corner: Corner::LiveKernel, ..Overrides::default() };
    let options = LiveOptions { responder: LiveNode::Kernel, seed, link: None, progress };
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let draft = scenario.plan_with_plugin(&overrides, None)?;
    let rehearsal = live::rehearse(&draft, &options).map_err(|e| broken(&e))?;
    let plan = Arc::new(scenario.plan_with_plugin(&overrides, Some(&rehearsal))?);
    let mut events = Trace::new(&plan);
    match live::run(&options, &mut events).map_err(|e| broken(&e))? {
        LiveEnd::Interrupted(by) => Err(Fail::interrupted(by, "interrupted; half a run is not compared")),
        _ => Ok(events),
    }
}

#[cfg(not(feature = "live"))]
pub(super) fn plugin_run(_: &Scenario, _: u64, _: bool) -> Result<Trace, Fail> {
    Err(Fail::cannot("this arplab was built without live namespaces (feature `live`)"))
}

/// How a live run is to be.
#[cfg(feature = "live")]
fn options(args: &Args) -> crate::live::LiveOptions {
    use crate::live::{LiveNode, LiveOptions, PodLinkKind};
    let responder = match args.responder {
        ResponderArg::Smoltcp => LiveNode::Smoltcp,
        ResponderArg::Kernel => LiveNode::Kernel,
    };
    let link = args.link.map(|l| match l {
        LinkArg::Tap => PodLinkKind::Tap,
        LinkArg::Veth => PodLinkKind::Veth,
    });
    LiveOptions { responder, seed: args.seed, link, progress: !args.json }
}

#[cfg(feature = "live")]
pub(super) fn broken(error: &crate::live::LiveError) -> Fail {
    match error {
        crate::live::LiveError::Input(_) => Fail::usage(error.to_string()),
        _ => Fail::cannot(error.to_string()),
    }
}

/// A run's heading on a page.
const fn corner_name(corner: Corner) -> &'static str {
    match corner {
        Corner::Sim => "simulated",
        Corner::LiveSmoltcp => "live: a real pod, the host side played by arplab",
        Corner::LiveKernel => "live: a real pod and a real host side",
    }
}

/// How a replay is shown.
fn shown(args: &Args) -> super::explore::Shown<'_> {
    super::explore::Shown {
        full: args.full,
        json: args.json,
        capture: args.pcap.as_deref(),
        html: args.html.as_deref(),
    }
}

/// What is run, and how.
pub(super) fn head(scenario: &Scenario, events: &Trace, out: &mut dyn Write) -> Result<(), Fail> {
    writeln!(out, "{}: {}", scenario.id(), scenario.file().title)?;
    Ok(writeln!(out, "{}\n", crate::trace::headline(events))?)
}

/// A run that is over.
struct Ran<'a> {
    args: &'a Args,
    scenario: &'a Scenario,
    overrides: &'a Overrides,
    corner: Corner,
    early: Option<Early>,
}

/// Why a run did not come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Early {
    /// A signal ended it, so nothing can be expected of it.
    Interrupted,
    /// A client never came to an end, and nobody said how long it should be given.
    GivenUp,
    /// The clients were done, but an ADD that had been begun beside others never came to an end.
    #[cfg_attr(not(feature = "live"), expect(dead_code, reason = "only a live run has other pods"))]
    NotAdded,
}

impl Early {
    /// Whether what was wanted of it cannot have been seen.
    const fn is_failure(self) -> bool {
        matches!(self, Early::GivenUp | Early::NotAdded)
    }
}

impl Ran<'_> {
    /// The rest of the report, below the events, and the files.
    fn report(
        &self,
        events: &Trace,
        files: &Files,
        opened: Result<(), Fail>,
        mut out: Report,
    ) -> Result<u8, Fail> {
        let seen = observe(events);
        let expect = self.expectations();
        let checks = check(&expect, &seen, !self.overrides.holds.is_empty());
        let ok = checks.iter().all(|c| c.ok);
        let good = ok && !self.early.is_some_and(Early::is_failure);
        let code = if good { super::AS_EXPECTED } else { super::UNEXPECTED };
        let told = opened.and_then(|()| self.tell(events, &seen, &expect, &checks, &mut out));
        let told = told.and_then(|()| out.close());
        // what was seen is told first: a live run took its time
        let written = files.write(corner_name(self.corner), events);
        for done in [told, written] {
            match done {
                // a reader who has seen enough does not change the verdict
                Err(fail) if !fail.is_broken_pipe() => return Err(fail),
                _ => {}
            }
        }
        Ok(code)
    }

    /// The report down to the events.
    fn open(&self, events: &Trace, out: &mut Report) -> Result<(), Fail> {
        if self.args.json {
            return Ok(write_json(events, out)?);
        }
        head(self.scenario, events, out)?;
        let style = out.style(self.args.full);
        Ok(out.write_all(Timeline::render(events, style).as_bytes())?)
    }

    fn expectations(&self) -> Expect {
        if self.early == Some(Early::Interrupted) {
            return Expect::default();
        }
        let mut expect = self.scenario.expectations(self.overrides, self.corner);
        if self.corner != Corner::Sim {
            // a live kernel announces some states only
            expect.states.retain(|s| s.is_notified());
        }
        expect
    }

    fn tell(
        &self,
        events: &Trace,
        seen: &Observed,
        expect: &Expect,
        checks: &[Check],
        out: &mut Report,
    ) -> Result<(), Fail> {
        if !self.args.json {
            return self.print(expect, events, seen, checks, out);
        }
        let result = match (self.early, checks.iter().all(|c| c.ok)) {
            (Some(Early::Interrupted), _) => "interrupted",
            (Some(Early::GivenUp | Early::NotAdded), _) => "given up",
            (None, true) => "as expected",
            (None, false) => "unexpected",
        };
        serde_json::to_writer(&mut *out, &VerdictLine { result, checks, seen })?;
        Ok(writeln!(out)?)
    }

    fn print(
        &self,
        expect: &Expect,
        events: &Trace,
        seen: &Observed,
        checks: &[Check],
        out: &mut Report,
    ) -> Result<(), Fail> {
        let (scenario, style) = (self.scenario, out.style(self.args.full));
        write!(out, "\n{}", crate::trace::summary(events, seen))?;
        if let Some(certainty) = &scenario.file().certainty {
            let word = self.args.scenario.as_deref().filter(|w| show::is_path(w)).unwrap_or(scenario.id());
            let text = format!("{}: {} (arplab show {word})", certainty.level, certainty.why);
            writeln!(out, "{:<12} {}", "Cause", output::fold(&text, 13, WIDTH).trim())?;
        }
        writeln!(out)?;
        let kernel = crate::trace::kernel_view(events);
        if !kernel.is_empty() {
            writeln!(out, "{kernel}")?;
        }
        if self.early == Some(Early::Interrupted) && checks.is_empty() {
            return Ok(writeln!(out, "Interrupted: nothing is expected of it.")?);
        }
        match self.early {
            Some(Early::GivenUp) => print_given_up(events, out)?,
            Some(Early::NotAdded) => print_not_added(events, seen, out)?,
            Some(Early::Interrupted) | None => {}
        }
        print_checks(expect, checks, style.unicode, out)?;
        print_unmodelled(seen, out)?;
        self.print_not_done(events, out)?;
        print_mitigations(self.args, scenario, out)?;
        print_fixes(self.args, scenario, out)
    }
}

impl Ran<'_> {
    /// A step that was written down and never came is a question that its author should not have
    /// to ask.
    fn print_not_done(&self, events: &Trace, out: &mut dyn Write) -> Result<(), Fail> {
        let done = |id| events.iter().any(|e| matches!(&e.what, What::Step { step, .. } if *step == id));
        let own = events.plan.steps.iter().filter(|(_, info)| info.origin == StepOrigin::File);
        // that DEL did not fail, or was not called, is nothing to be told
        let own = own.filter(|(_, info)| !info.name.starts_with("cni.del-"));
        let missing: Vec<&str> =
            own.filter(|(id, _)| !done(*id)).map(|(_, info)| info.name.as_str()).collect();
        if !missing.is_empty() {
            writeln!(
                out,
                "Never done: {}. A run ends when its clients are done, or after `duration`.",
                missing.join(", ")
            )?;
        }
        Ok(())
    }
}

/// What was not held against the model, and why.
fn print_unmodelled(seen: &Observed, out: &mut dyn Write) -> Result<(), Fail> {
    if seen.unmodelled.is_empty() {
        return Ok(());
    }
    let commands: Vec<String> = seen.unmodelled.iter().map(|c| format!("`{c}`")).collect();
    let text = format!(
        "The model does not know {}. What came after the first was seen of the kernel alone: it was not \
         compared with the model, which has no reasons for it.",
        commands.join(", ")
    );
    Ok(write!(out, "{}", output::fold(&text, 0, WIDTH))?)
}

/// A run without a length of its own lasts until its clients are done.
fn print_given_up(events: &Trace, out: &mut dyn Write) -> Result<(), Fail> {
    let stands = |id| {
        let news = |w: &What| matches!(w, What::Client { client, news: ClientNews::Success { .. } } if *client == id);
        events.iter().any(|e| news(&e.what))
    };
    let endless = |(at, c): &(usize, &ClientPlan)| {
        let limited = c.count.is_some() || c.stop_after.is_some() || c.deadline.is_some();
        let done = c.kind == ClientKind::TcpConnect && stands(ClientId(*at as u32));
        !(limited || done)
    };
    let clients = events.plan.clients.iter().enumerate();
    let names: Vec<&str> = clients.filter(endless).map(|(_, c)| c.name.as_str()).collect();
    let who = if names.is_empty() { "a client".to_owned() } else { names.join(", ") };
    writeln!(
        out,
        "GIVEN UP after {} of a run that has no end: {who} was not done by then, so this is no success.\n\
         Give the client a `count`, `stop-after` or `deadline`, or the scenario a `duration`.",
        events.plan.duration
    )?;
    Ok(())
}

/// An ADD that was begun beside others has to end.
fn print_not_added(events: &Trace, seen: &Observed, out: &mut dyn Write) -> Result<(), Fail> {
    let ended = |step: &str| {
        let step = events.plan.steps.find(step);
        events.iter().any(|e| e.what.done().is_some() && e.what.done() == step)
    };
    let judged = (!ended("cni.add-return") && !ended("cni.add-fail")).then_some("the pod itself");
    let others = seen.others.iter().filter(|it| it.add_start_ns.is_some() && it.add_end_ns.is_none());
    let names: Vec<&str> = judged.into_iter().chain(others.map(|it| it.pod.as_str())).collect();
    let text = format!(
        "GIVEN UP: the clients were done, ADD of {} had not ended, and for 30 s no plugin asked for anything. Give \
         the scenario a `duration` if that is what it is about.",
        if names.is_empty() { "a pod".to_owned() } else { names.join(", ") }
    );
    Ok(write!(out, "{}", output::fold(&text, 0, WIDTH))?)
}

fn print_checks(expect: &Expect, checks: &[Check], unicode: bool, out: &mut dyn Write) -> Result<(), Fail> {
    if *expect == Expect::default() {
        writeln!(out, "Nothing is expected of this run.")?;
        if checks.is_empty() {
            return Ok(());
        }
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

/// What was applied with `--with`, how it is meant to work, and where its verdict stands.
fn print_mitigations(args: &Args, scenario: &Scenario, out: &mut dyn Write) -> Result<(), Fail> {
    for m in args.with.iter().filter_map(|name| mitigation(name)) {
        writeln!(out, "\nWith {}: {}", m.name, m.title)?;
        write!(out, "{}", output::fold(&m.why, 2, WIDTH))?;
        if !m.unknown_settings.is_empty() {
            writeln!(out, "  Settings that no release knows: {}.", m.unknown_settings.join(", "))?;
        }
        let given = args.scenario.as_deref().unwrap_or_default();
        let word = if show::is_path(given) { given } else { scenario.id() };
        writeln!(out, "  Against the run without it: arplab matrix --why {word} {}", m.name)?;
    }
    Ok(())
}

fn print_fixes(args: &Args, scenario: &Scenario, out: &mut dyn Write) -> Result<(), Fail> {
    if args.fix.is_empty() && args.with.is_empty() && !scenario.file().fixes.is_empty() {
        writeln!(out, "\nTry a fix:")?;
        for fix in &scenario.file().fixes {
            writeln!(out, "  --fix {:<28} {}: {}", fix.name.get_ref(), show::effect(fix.effect), fix.title)?;
        }
    }
    Ok(())
}
