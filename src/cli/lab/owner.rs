//! The process that owns a lab: it makes the namespaces, runs the actors, and sits at the desk.

use super::super::fail::Fail;
use super::super::run::{ResponderArg, broken};
use super::super::{change, output, picture, show};
use super::visitor::{Visit, way_in};
use super::{check_name, user};
use crate::control::Until;
use crate::live::{self, Audience, Desk, Feed, LiveEnd, LiveNode, LiveOptions};
use crate::scenario::{Corner, HoldOverride, Overrides, Plan, Scenario};
use crate::time::{Span, Time};
use crate::trace::{Capture, Follow, Style, Trace, What, headline, observe, summary};
use core::fmt;
use std::io::{ErrorKind, Read as _, Write};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UpArgs {
    /// Id, issue number, catalogue number, or a scenario file
    scenario: String,
    /// The lab's name [default: the scenario's id]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    fix: Vec<String>,
    /// Apply a mitigation
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Hold a step for a time (0s lifts a hold), or until `arplab release`, such as
    /// felix.iface-seen=until-told
    #[arg(long, value_name = "STEP=DURATION|until-told")]
    hold: Vec<UpHold>,
    /// Who answers for the gateway; only the kernel's node has a namespace to go into
    #[arg(long, value_enum, default_value_t = ResponderArg::Kernel)]
    responder: ResponderArg,
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A lab that nobody takes down ends after this
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ends_after: Span,
    /// Stay here and tell what happens, in the place of a process in the background; Ctrl-C ends the lab
    #[arg(long)]
    foreground: bool,
    /// In a session of its own, whose starter waits for it
    #[arg(long, hide = true, requires = "foreground")]
    detached: bool,
}

/// What lets a step go in the place of a time.
const UNTIL_TOLD: &str = "until-told";

/// `--hold` of a lab that stays.
#[derive(Clone, Debug)]
pub(in crate::cli) struct UpHold {
    hold: HoldOverride,
    until_told: bool,
}

impl fmt::Display for UpHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.until_told { write!(f, "{}={UNTIL_TOLD}", self.hold.step) } else { self.hold.fmt(f) }
    }
}

impl FromStr for UpHold {
    type Err = <HoldOverride as FromStr>::Err;
    fn from_str(text: &str) -> Result<UpHold, Self::Err> {
        match text.rsplit_once('=') {
            Some((step, UNTIL_TOLD)) => Ok(UpHold { hold: format!("{step}=1s").parse()?, until_told: true }),
            _ => Ok(UpHold { hold: text.parse()?, until_told: false }),
        }
    }
}

/// A lab that is up for less could not be met.
const ENDS_AFTER_MIN: Span = Span::from_secs(1);

/// How long a starter waits for its lab.
const PATIENCE: Duration = Duration::from_secs(30);

pub(in crate::cli) fn up(args: &UpArgs) -> Result<u8, Fail> {
    let (scenario, overrides, plan) = prepare(args)?;
    let name = args.name.clone().unwrap_or_else(|| scenario.id().to_owned());
    check_name(&name)?;
    if args.foreground {
        return own(args, &scenario, &overrides, plan, &name);
    }
    start(&name, &scenario, args.responder == ResponderArg::Kernel)
}

fn prepare(args: &UpArgs) -> Result<(Scenario, Overrides, Plan), Fail> {
    if args.ends_after < ENDS_AFTER_MIN {
        return Err(Fail::usage(format!("--ends-after is at least {ENDS_AFTER_MIN}")));
    }
    let scenario = show::load(&args.scenario)?;
    let corner = match args.responder {
        ResponderArg::Kernel => Corner::LiveKernel,
        ResponderArg::Smoltcp => Corner::LiveSmoltcp,
    };
    if scenario.file().cni.is_some() {
        return Err(Fail::usage(
            "a scenario with a real plugin cannot stay up yet; `arplab run --live --responder kernel` runs it",
        ));
    }
    if let Some(why) = scenario.file().not_live.get(&corner) {
        return Err(Fail::cannot(format!("{} cannot be staged in {corner}: {why}", scenario.id())));
    }
    let holds: Vec<HoldOverride> = args.hold.iter().map(|h| h.hold.clone()).collect();
    let mut overrides = change::overrides(&scenario, &holds, &args.fix, &args.with)?;
    overrides.corner = corner;
    let mut plan = scenario.plan(&overrides)?;
    for hold in args.hold.iter().filter(|h| h.until_told) {
        let step = plan.steps.find(&hold.hold.step);
        for it in plan.holds.iter_mut().filter(|it| Some(it.step) == step) {
            it.until = Until::Told;
        }
    }
    // it stays for whoever wants to look
    (plan.until_clients_done, plan.duration) = (false, args.ends_after);
    Ok((scenario, overrides, plan))
}

/// Starts the owner and waits until it can be talked to.
fn start(name: &str, scenario: &Scenario, node: bool) -> Result<u8, Fail> {
    refuse_taken(name)?;
    let cannot = |e: std::io::Error| Fail::cannot(format!("starting the lab's process: {e}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).args(["--foreground", "--detached"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut owner = command.spawn().map_err(cannot)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = owner.try_wait().map_err(cannot)? {
            let mut said = String::new();
            if let Some(mut stderr) = owner.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            let said = said.trim().trim_start_matches("arplab: ");
            let said =
                if said.is_empty() { format!("its process ended with {status}") } else { said.to_owned() };
            let code = status.code().and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0);
            let code = code.unwrap_or(super::super::CANNOT);
            return Err(Fail::of_code(code, format!("the lab did not come up: {said}")));
        }
        if live::names(user()).is_ok_and(|names| names.iter().any(|n| n == name))
            && let Ok(visit) = Visit::of(name)
            // not another one that was quicker
            && visit.owner.cast_unsigned() == owner.id()
            && visit.ask(&live::Wish::Status).is_ok()
        {
            break;
        }
        if begun.elapsed() > PATIENCE {
            let _ = owner.kill();
            let _ = owner.wait();
            return Err(Fail::cannot(format!("the lab was not up after {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut out = output::Report::new();
    writeln!(out, "{name} is up: {}", scenario.file().title)?;
    out.write_all(way_in(name, node)?.as_bytes())?;
    Ok(super::super::AS_EXPECTED)
}

fn refuse_taken(name: &str) -> Result<(), Fail> {
    let there = live::names(user()).map_err(|e| Fail::cannot(format!("looking for other labs: {e}")))?;
    if there.iter().any(|n| n == name) {
        // or somebody else has it
        return Visit::of(name).and(Err(taken(name)));
    }
    Ok(())
}

fn taken(name: &str) -> Fail {
    Fail::usage(format!(
        "a lab named {name} is up already: `arplab down --name {name}` ends it, `--name OTHER` makes another"
    ))
}

/// Is the owner, until the lab ends.
fn own(
    args: &UpArgs,
    scenario: &Scenario,
    overrides: &Overrides,
    plan: Plan,
    name: &str,
) -> Result<u8, Fail> {
    if args.detached {
        netns_lab::rootless::leave_terminal()
            .map_err(|e| Fail::cannot(format!("leaving the terminal: {e}")))?;
    }
    // before the network of a user namespace: visitors come by the machine's
    let desk = Desk::open(user(), name).map_err(|e| match e.kind() {
        ErrorKind::AddrInUse => taken(name),
        _ => Fail::cannot(format!("opening the lab's socket: {e}")),
    })?;
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let responder = match args.responder {
        ResponderArg::Kernel => LiveNode::Kernel,
        ResponderArg::Smoltcp => LiveNode::Smoltcp,
    };
    let options = LiveOptions { responder, seed: args.seed, link: None, progress: false };
    let plan = Arc::new(plan);
    let mut events = picture::begun(scenario, &plan, overrides, overrides.corner, args.seed);
    if let Some(What::Start(start)) = events.events.first_mut().map(|e| &mut e.what) {
        start.holds = args.hold.iter().map(ToString::to_string).collect();
    }
    let here = args.foreground && !args.detached;
    let style = if here { output::style(false) } else { Style { color: false, unicode: true, full: false } };
    let mut teller = Teller {
        log: desk.log.clone(),
        capture: CaptureState::Opened(desk.capture.clone()),
        follow: None,
        scenario,
        style,
        here,
    };
    if here {
        let _ = std::io::stdout().write_all(way_in(name, args.responder == ResponderArg::Kernel)?.as_bytes());
    }
    let (wishes, served) =
        desk.serve().map_err(|e| Fail::cannot(format!("serving the lab's socket: {e}")))?;
    let end = live::stay(&options, &mut events, &mut teller, wishes).map_err(|e| broken(&e))?;
    teller.end(&events, end, args.ends_after);
    served.finish();
    match end {
        LiveEnd::Interrupted(by) if here => Ok(super::super::interrupted(by)),
        _ => Ok(super::super::AS_EXPECTED),
    }
}

/// Writes the story down as it goes, for whoever asks.
struct Teller<'a> {
    log: Feed,
    capture: CaptureState,
    follow: Option<Follow>,
    scenario: &'a Scenario,
    style: Style,
    /// On this terminal as well.
    here: bool,
}

enum CaptureState {
    Opened(Feed),
    Begun(Capture<Feed>),
    Over,
}

impl Teller<'_> {
    fn say(&mut self, text: &str) {
        let _ = self.log.write_all(text.as_bytes());
        if self.here {
            let _ = std::io::stdout().write_all(text.as_bytes());
            let _ = std::io::stdout().flush();
        }
    }

    fn end(&mut self, events: &Trace, end: LiveEnd, after: Span) {
        let rest = self.follow.as_mut().map(|follow| follow.end(events)).unwrap_or_default();
        let why = match end {
            LiveEnd::TimeUp => format!("the lab ends after {after} (--ends-after)"),
            LiveEnd::Interrupted(_) => "the lab was told to end by a signal".to_owned(),
            LiveEnd::Told | LiveEnd::ClientsDone | LiveEnd::NotAdded => "the lab was taken down".to_owned(),
        };
        let last = events.last().map_or(Time::ZERO, |e| e.t_ns);
        self.say(&format!("{rest}\n{}\n{why} at {last}\n", summary(events, &observe(events))));
    }
}

impl Audience for Teller<'_> {
    fn hear(&mut self, trace: &Trace, fresh: Range<usize>) {
        let capture = match core::mem::replace(&mut self.capture, CaptureState::Over) {
            CaptureState::Opened(feed) => Capture::begin(trace, feed).ok(),
            CaptureState::Begun(capture) => Some(capture),
            CaptureState::Over => None,
        };
        if let Some(mut capture) = capture
            && capture.go_on(trace, fresh.clone()).is_ok()
        {
            self.capture = CaptureState::Begun(capture);
        }
        let mut text = String::new();
        let mut follow = self.follow.take().unwrap_or_else(|| {
            let follow = Follow::new(&trace.plan, self.style);
            text = format!(
                "{}: {}\n{}\n\n{}",
                self.scenario.id(),
                self.scenario.file().title,
                headline(trace),
                follow.head()
            );
            follow
        });
        text.push_str(&follow.hear(trace, fresh));
        self.follow = Some(follow);
        self.say(&text);
    }
}
