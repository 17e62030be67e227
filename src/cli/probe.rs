//! `arplab probe`.

use super::fail::Fail;
use super::{show, unknown};
use crate::addr::Mac;
#[cfg(feature = "live")]
use crate::near::WordError;
use crate::probe::{Asker, Findings, ModelAnswerer, ProbeError, ReportColumn, ReportTable, Scene, probe};
use crate::scenario::{HoldOverride, Overrides, Scenario, catalogue};
use crate::time::Span;
use std::io::Write;
use std::net::Ipv4Addr;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An interface, whose far end is asked; or a scenario (id, issue number, file), whose node is
    /// asked as the model has it and, where namespaces can be had, on this machine's kernel
    #[arg(value_name = "IFACE|ID")]
    target: String,
    /// The word names an interface, even if a scenario has that name
    #[arg(long)]
    interface: bool,
    /// The address that is to be answered for
    #[arg(long, default_value_t = crate::control::GATEWAY)]
    gateway: Ipv4Addr,
    /// Who asks [default: the interface's first IPv4 address, the scenario's pod]
    #[arg(long, value_name = "IP")]
    pod_ip: Option<Ipv4Addr>,
    /// The asker's MAC [default: the interface's, the scenario's pod's]
    #[arg(long, value_name = "MAC")]
    pod_mac: Option<Mac>,
    /// The MAC that answers must name [default: any; a scenario's node: ee:ee:ee:ee:ee:ee]
    #[arg(long, value_name = "MAC")]
    mac: Option<Mac>,
    /// An address beyond the gateway
    #[arg(long, value_name = "IP", default_value = "203.0.113.8")]
    beyond: Ipv4Addr,
    /// The answerer has the gateway's address itself, so that it must answer a probe for it
    #[arg(long)]
    owns_gateway: bool,
    /// How long an answer is waited for that should come
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    timeout: Span,
    /// How long is listened for an answer that should not come
    #[arg(long, value_name = "DURATION", default_value = "200ms")]
    quiet: Span,
    /// The latest that an answer counts as given at once
    #[arg(long, value_name = "DURATION", default_value = "200ms")]
    at_once: Span,
    /// Differences from Linux count as broken, too
    #[arg(long)]
    strict: bool,
    /// Scenario: the moment of its run at which the node is asked [default: the end]
    #[arg(long, value_name = "DURATION", conflicts_with = "interface")]
    at: Option<Span>,
    /// Scenario: with this fix
    #[arg(long, value_name = "NAME", conflicts_with = "interface")]
    fix: Vec<String>,
    /// Scenario: hold a step for a time
    #[arg(long, value_name = "STEP=DURATION", conflicts_with = "interface")]
    hold: Vec<HoldOverride>,
    /// Scenario: seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Scenario: ask only the model, or only the kernel
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// One JSON object a clause
    #[arg(long)]
    json: bool,
}

/// Which of the two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Only {
    /// The model.
    Model,
    /// The kernel.
    Kernel,
}

/// The longest patience: a question is one of some sixty.
const PATIENCE_MAX: Span = Span::from_secs(60);

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if args.timeout > PATIENCE_MAX || args.quiet > PATIENCE_MAX {
        return Err(Fail::usage(format!("--timeout and --quiet are at most {PATIENCE_MAX}")));
    }
    check(args)?;
    let table = if let Some(scenario) = scenario(args)? {
        of_scenario(args, &scenario)?
    } else {
        check_interface(args)?;
        of_interface(args)?
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        for line in table.json() {
            serde_json::to_writer(&mut out, &line)?;
            writeln!(out)?;
        }
    } else {
        write!(out, "{table}")?;
        let differ: Vec<&str> = table.differences().map(crate::probe::Clause::code).collect();
        if !differ.is_empty() {
            writeln!(out, "The model and the kernel differ: {}.", differ.join(", "))?;
        }
    }
    if let (Some(Only::Kernel), [ReportColumn { report: Err(why), .. }]) = (args.only, &table.columns[..]) {
        return Err(Fail::cannot(why.to_string()));
    }
    Ok(if table.conforms(args.strict) { super::AS_EXPECTED } else { super::UNEXPECTED })
}

fn is_host(ip: Ipv4Addr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && !ip.is_loopback()
}

/// An address that a host can have, of an option.
#[cfg(feature = "live")]
pub(super) fn host(text: &str) -> Result<Ipv4Addr, WordError> {
    let ip: Ipv4Addr = text.parse().map_err(|_| "an IPv4 address is wanted")?;
    if is_host(ip) { Ok(ip) } else { Err("it is no host's address".into()) }
}

/// Refuses questions that nobody could be asked: an answer to them would say nothing.
fn check(args: &Args) -> Result<(), Fail> {
    let named =
        [("--gateway", Some(args.gateway)), ("--pod-ip", args.pod_ip), ("--beyond", Some(args.beyond))];
    for (option, ip) in named.into_iter().filter_map(|(o, ip)| Some((o, ip?))) {
        if !is_host(ip) {
            return Err(Fail::usage(format!("{option} {ip} is no host's address")));
        }
    }
    if args.pod_ip == Some(args.gateway) {
        return Err(Fail::usage("the pod and its gateway have the same address"));
    }
    let group = |mac: Option<Mac>| mac.filter(|m| m.0[0] & 1 == 1);
    match group(args.pod_mac).or(group(args.mac)) {
        Some(mac) => Err(Fail::usage(format!("{mac} is the MAC of a group, not of an interface"))),
        None => Ok(()),
    }
}

/// Refuses what only a scenario has.
fn check_interface(args: &Args) -> Result<(), Fail> {
    let given = [
        ("--at", args.at.is_some()),
        ("--fix", !args.fix.is_empty()),
        ("--hold", !args.hold.is_empty()),
        ("--only", args.only.is_some()),
    ];
    match given.into_iter().find(|g| g.1) {
        Some((option, _)) => {
            let word = &args.target;
            let near = unknown::near(word);
            Err(Fail::usage(format!("{option} is for scenarios, and no scenario answers to {word:?}{near}")))
        }
        None => Ok(()),
    }
}

/// The scenario that the word names, if it names one.
fn scenario(args: &Args) -> Result<Option<Scenario>, Fail> {
    let word = args.target.as_str();
    if args.interface || (!show::is_path(word) && catalogue::find(word)?.is_empty()) {
        return Ok(None);
    }
    show::load(word).map(Some)
}

fn setting(args: &Args, pod_ip: Ipv4Addr, pod_mac: Mac, mac: Option<Mac>) -> Asker {
    Asker {
        gateway: args.gateway,
        mac: args.mac.or(mac),
        beyond: args.beyond,
        owns_gateway: args.owns_gateway,
        patience: args.timeout,
        quiet: args.quiet,
        at_once: args.at_once,
        ..Asker::of_pod(args.pod_ip.unwrap_or(pod_ip), args.pod_mac.unwrap_or(pod_mac))
    }
}

fn of_scenario(args: &Args, scenario: &Scenario) -> Result<ReportTable, Fail> {
    // before anything else: it wants a process with one thread
    let entered =
        if args.only == Some(Only::Model) { Err(ProbeError::NotHere("not wanted".into())) } else { enter() };
    let overrides = Overrides { holds: args.hold.clone(), fixes: args.fix.clone(), ..Overrides::default() };
    let scene =
        Scene::of(scenario.plan(&overrides)?, args.seed, args.at).map_err(|e| Fail::usage(e.to_string()))?;
    let setting = setting(args, scene.setting.pod_ip, scene.setting.pod_mac, Some(Mac::CALICO));
    if !args.json {
        println!("{} at {}, host end {}", scenario.id(), scene.at, scene.setting.cali);
        if let Some(reason) = scene.silence {
            println!("by the model it is silent: {reason} [{}]", reason.pointer().code);
        }
        println!();
    }
    let mut columns = Vec::new();
    if args.only != Some(Only::Kernel)
        && let Some(mut model) = ModelAnswerer::of(&scene, args.seed)
    {
        let report = probe(&setting, &mut model).map_err(ProbeError::from);
        columns.push(ReportColumn { name: "model".into(), report });
    }
    if args.only != Some(Only::Model) {
        let report = entered.and_then(|()| on_kernel(&scene, &setting));
        columns.push(ReportColumn { name: "kernel".into(), report });
    }
    Ok(ReportTable { columns })
}

#[cfg(feature = "live")]
fn enter() -> Result<(), ProbeError> {
    netns_lab::rootless::enter().map_err(|e| ProbeError::NotHere(e.to_string()))?;
    end_on_signal().map_err(|e| ProbeError::NotHere(format!("listening for signals: {e}")))
}

/// A conversation that is broken off says nothing of whom it was with. Its sockets and namespaces
/// go with the process.
#[cfg(feature = "live")]
fn end_on_signal() -> std::io::Result<()> {
    crate::live::on_interrupt(|by| {
        super::complain(&"interrupted; half a conversation is not judged");
        std::process::exit(i32::from(super::interrupted(by)));
    })
}

#[cfg(feature = "live")]
fn on_kernel(scene: &Scene, setting: &Asker) -> Result<Findings, ProbeError> {
    let mut stage = crate::probe::SceneStage::new(scene)?;
    for refused in &stage.refused {
        tracing::warn!("the kernel's node lacks a change: {refused}");
    }
    Ok(probe(setting, stage.wire())?)
}

#[cfg(feature = "live")]
fn of_interface(args: &Args) -> Result<ReportTable, Fail> {
    use crate::probe::WireAnswerer;
    use netns_lab::Netns;
    let dev = args.target.as_str();
    end_on_signal().map_err(|e| Fail::cannot(format!("listening for signals: {e}")))?;
    let netns = Netns::current("here").map_err(|e| Fail::cannot(e.to_string()))?;
    let link = netns.blocking().link(dev.to_owned()).map_err(|e| {
        if e.not_found() {
            Fail::usage(format!(
                "{dev:?}{} is neither a scenario nor an interface here; `arplab list` and `ip link` show them",
                unknown::near(dev)
            ))
        } else {
            Fail::cannot(e.to_string())
        }
    })?;
    let pod_mac = args.pod_mac.or(link.mac.map(|m| Mac(m.octets())));
    let pod_mac = pod_mac.ok_or_else(|| Fail::usage(format!("{dev} has no MAC; give one with --pod-mac")))?;
    let addresses = netns.blocking().addresses().map_err(|e| Fail::cannot(e.to_string()))?;
    let own = addresses.iter().filter(|a| a.dev.name() == Some(dev)).find_map(|a| match a.net {
        ipnet::IpNet::V4(net) => Some(net.addr()),
        ipnet::IpNet::V6(_) => None,
    });
    let pod_ip = args.pod_ip.or(own);
    let pod_ip =
        pod_ip.ok_or_else(|| Fail::usage(format!("{dev} has no IPv4 address; give one with --pod-ip")))?;
    let mut wire = WireAnswerer::open(&netns, dev).map_err(|e| Fail::cannot(e.to_string()))?;
    let report = probe(&setting(args, pod_ip, pod_mac, None), &mut wire);
    let report = report.map_err(|e| Fail::cannot(e.to_string()))?;
    Ok(ReportTable { columns: vec![ReportColumn { name: dev.to_owned(), report: Ok(report) }] })
}

#[cfg(not(feature = "live"))]
fn enter() -> Result<(), ProbeError> {
    Err(ProbeError::NotHere("this arplab was built without live namespaces (feature `live`)".into()))
}

#[cfg(not(feature = "live"))]
fn on_kernel(_: &Scene, _: &Asker) -> Result<Findings, ProbeError> {
    Err(ProbeError::NotHere(String::new()))
}

#[cfg(not(feature = "live"))]
fn of_interface(_: &Args) -> Result<ReportTable, Fail> {
    Err(Fail::cannot("this arplab was built without live interfaces (feature `live`)"))
}
