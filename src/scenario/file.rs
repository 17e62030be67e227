//! The scenario file format (TOML). Unknown keys are refused; see docs/scenario-format.md.

pub use super::change::{ChangeFile, FixEffect, FixFile};
use super::expect::{Corner, Expect, Range};
pub use super::monitor::MonitorFile;
pub use super::plugin::{CniFile, KillFile};
use super::text::CommandText;
pub use super::wait::WaitFile;
use crate::addr::Mac;
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// A text whose place in the file is kept for error messages.
pub type Located = Spanned<String>;

/// A scenario file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioFile {
    /// Its name, in kebab-case.
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub id: Located,
    /// One line.
    pub title: String,
    /// Issue numbers and catalogue numbers that lead here, such as `8689` or `M10`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What happens, in plain words.
    #[serde(default)]
    pub story: String,
    /// Why it happens.
    #[serde(default)]
    pub mechanism: String,
    /// What a person sees, in the words of the tools they use.
    #[serde(default)]
    pub seen: Vec<String>,
    /// How long the run lasts, from its start; by default until every client is done.
    #[schemars(with = "Option<Span>")]
    pub duration: Option<Spanned<Span>>,
    /// It looks like an unanswered gateway ARP but is something else.
    #[serde(default)]
    pub look_alike: bool,
    /// How sure the cause is.
    pub certainty: Option<Certainty>,
    /// Where it was reported or read.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// Calico's version and settings.
    #[serde(default)]
    pub calico: CalicoFile,
    /// A real CNI plugin in the place of the program that plays Calico's; live, with the kernel as
    /// responder.
    pub cni: Option<CniFile>,
    /// The kernel.
    #[serde(default)]
    pub kernel: KernelFile,
    /// The node.
    #[serde(default)]
    pub node: NodeFile,
    /// The pod.
    #[serde(default)]
    pub pod: PodFile,
    /// The world behind the node.
    #[serde(default)]
    pub world: WorldFile,
    /// Steps of actors that are not built in.
    #[serde(default, rename = "step")]
    pub steps: Vec<StepFile>,
    /// Steps held up.
    #[serde(default, rename = "hold")]
    pub holds: Vec<HoldFile>,
    /// What the link does to frames, and what requests of a real plugin meet.
    #[serde(default, rename = "fault")]
    #[schemars(with = "Vec<FaultFile>")]
    pub faults: Vec<Spanned<FaultFile>>,
    /// What runs in the pod.
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientFile>,
    /// What is to be seen.
    #[serde(default)]
    pub expect: Expect,
    /// What is to be seen in one corner where it differs.
    #[serde(default)]
    pub expect_in: BTreeMap<Corner, Expect>,
    /// What a run shows in which all is well. By default every client has its first success at
    /// once and none later than its interval; needed where that is not the point.
    pub healthy: Option<Expect>,
    /// A shorter form, for comparing the corners in real time.
    #[serde(default)]
    pub live: LiveFile,
    /// Where the scenario cannot be staged on a real kernel, and why.
    #[serde(default)]
    pub not_live: BTreeMap<Corner, String>,
    /// What helps, and what does not.
    #[serde(default, rename = "fix")]
    pub fixes: Vec<FixFile>,
}

/// A shorter form of the scenario, in which `arplab compare` runs every corner: holds that last
/// less long, an earlier end. What is expected of the scenario is not checked then, only that all
/// corners do the same.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LiveFile {
    /// Steps that are held for a time, and for how long in the shorter form.
    #[serde(default)]
    pub hold: BTreeMap<String, Span>,
    /// Steps of the file's own with a delay, and the delay in the shorter form.
    #[serde(default)]
    pub delay: BTreeMap<String, Span>,
    /// Clients with a delay, and the delay in the shorter form.
    #[serde(default)]
    pub client_delay: BTreeMap<String, Span>,
    /// Commands in the pod's namespace, after those of `pod.before-start`: a shorter
    /// base_reachable_time, for instance.
    #[serde(default)]
    pub pod_before_start: Vec<CommandText>,
    /// How long the run lasts at most.
    pub duration: Option<Span>,
}

/// How sure a cause is, and why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Certainty {
    /// The grade.
    pub level: CertaintyLevel,
    /// One line.
    pub why: String,
}

/// Grades of certainty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CertaintyLevel {
    /// A maintainer, a merged fix or a reproduction says so.
    Confirmed,
    /// It fits what was seen, and the kernel does it; nobody upstream has named it.
    Plausible,
    /// Somebody reported it; the cause was never established.
    Reported,
}

impl core::fmt::Display for CertaintyLevel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            CertaintyLevel::Confirmed => "confirmed",
            CertaintyLevel::Plausible => "plausible",
            CertaintyLevel::Reported => "reported",
        })
    }
}

/// A public source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// Issue, pull request or commit, such as `projectcalico/calico#8689`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// What it says to the matter.
    #[serde(default)]
    pub says: String,
}

/// Calico's version and settings.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CalicoFile {
    /// Release line; v3.26 by default.
    #[schemars(with = "Option<String>")]
    pub version: Option<Located>,
    /// The release line, if the one chosen so far is older.
    #[schemars(with = "Option<String>")]
    pub at_least: Option<Located>,
    /// `policy_setup_timeout_seconds` of the plugin (v3.28 on).
    pub endpoint_status_wait: Option<Span>,
    /// `cni.projectcalico.org/hwAddr` of the pod.
    pub pod_hwaddr: Option<Mac>,
    /// RouteRefreshInterval.
    pub route_refresh: Option<Span>,
    /// InterfaceRefreshInterval.
    pub interface_refresh: Option<Span>,
    /// IpsetsRefreshInterval.
    pub ipsets_refresh: Option<Span>,
    /// The grace period of routes without an endpoint; a constant in Calico, changed here for
    /// experiments.
    pub route_grace: Option<Span>,
    /// Whether Felix removes routes it knows no endpoint for (RemoveExternalRoutes).
    pub remove_external_routes: Option<bool>,
    /// The number of the protocol of the routes that Felix makes, and knows them by (DeviceRouteProtocol).
    pub device_route_protocol: Option<u8>,
    /// From the write of the endpoint to Felix's knowing it.
    pub datastore_delay: Option<Range<Span>>,
    /// What a pass of Felix takes before it reaches the interface.
    pub apply_takes: Option<Range<Span>>,
    /// Felix writes its permanent entry for the pod anew when the interface changes; by version.
    pub static_arp_refresh: Option<bool>,
    /// Felix does not run.
    #[serde(default)]
    pub no_felix: bool,
}

/// The kernel.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelFile {
    /// Ticks a second: 100, 250, 300 or 1000; 250 by default.
    #[schemars(with = "Option<u32>")]
    pub hz: Option<Spanned<u32>>,
    /// Before 6.5 the SYN schedule doubles from the first retransmission.
    #[serde(default)]
    pub before_6_5: bool,
    /// Before 6.0 an interface that goes down in any namespace throws away the delayed answers of
    /// all (mended by 66ba215cb513).
    #[serde(default)]
    pub before_6_0: bool,
}

/// The node at the start of the run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeFile {
    /// Commands on top of the default node: `lo`, an uplink with an address and a default route,
    /// ip_forward=1, conf.default.rp_filter=1.
    #[serde(default)]
    pub setup: Vec<CommandText>,
}

/// The pod at the start of the run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodFile {
    /// Kubernetes namespace; `default`.
    #[schemars(with = "Option<String>")]
    pub namespace: Option<Located>,
    /// Name; `web-0`.
    #[schemars(with = "Option<String>")]
    pub name: Option<Located>,
    /// IPv6 address, for a pod of two families.
    pub ip6: Option<std::net::Ipv6Addr>,
    /// Whether the runtime brings `lo` up before the plugin runs, as all of them do; `true`.
    #[serde(default = "yes")]
    pub loopback: bool,
    /// Commands in the pod's new namespace, before the CNI plugin runs.
    #[serde(default)]
    pub setup: Vec<CommandText>,
    /// Commands in the pod's namespace when the plugin is done, before the containers start.
    #[serde(default)]
    pub before_start: Vec<CommandText>,
    /// The pod filters the ICMP errors that its own kernel sends to it.
    #[serde(default)]
    pub icmp_errors_filtered: bool,
    /// An init container asks for 169.254.1.1 until it is answered; the containers start after it.
    pub wait_for_gateway: Option<WaitFile>,
}

fn yes() -> bool {
    true
}

impl Default for PodFile {
    fn default() -> PodFile {
        PodFile {
            namespace: None,
            name: None,
            ip6: None,
            loopback: true,
            setup: Vec::new(),
            before_start: Vec::new(),
            icmp_errors_filtered: false,
            wait_for_gateway: None,
        }
    }
}

/// The world behind the node.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorldFile {
    /// Hosts that answer echo requests.
    #[serde(default)]
    pub hosts: Vec<IpAddr>,
    /// Ports that accept connections and echo.
    #[serde(default)]
    pub tcp: Vec<SocketAddr>,
    /// Ports that echo datagrams.
    #[serde(default)]
    pub udp: Vec<SocketAddr>,
}

/// A step of an actor that is not built in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepFile {
    /// `actor.what`; the actor is one of kubelet, cni, felix, udev, kernel, operator, pod.
    #[schemars(with = "String")]
    pub id: Located,
    /// What it does, in words.
    #[serde(default)]
    pub title: String,
    /// The step after which it comes; without one it comes at the start.
    #[schemars(with = "Option<String>")]
    pub after: Option<Located>,
    /// How long after that.
    pub delay: Option<Range<Span>>,
    /// Repeated at this interval,
    pub every: Option<Span>,
    /// so many times in all.
    pub times: Option<u32>,
    /// Commands on the node.
    #[serde(default)]
    pub node: Vec<CommandText>,
    /// Commands in the pod.
    #[serde(default)]
    pub pod: Vec<CommandText>,
    /// Commands that may fail.
    #[serde(default)]
    pub may_fail: bool,
    /// Something done to the veth pair itself.
    pub veth: Option<VethFile>,
    /// Something an actor is asked for.
    pub ask: Option<crate::control::Ask>,
    /// An interface of some other namespace of this kernel goes down.
    #[serde(default)]
    pub down_elsewhere: bool,
    /// The host end announces 169.254.1.1 to the pod.
    #[serde(default)]
    pub announce_gateway: bool,
    /// The announcement is a gratuitous request, which makes no entry where there is none.
    #[serde(default)]
    pub gratuitous: bool,
    /// The MAC that is announced, when it is not the host end's.
    pub announce_mac: Option<Mac>,
}

/// What can be done to the veth pair itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VethFile {
    /// Made anew, host end in the host's namespace.
    Create,
    /// Deleted, if it is there.
    Delete,
}

/// A step held up. Exactly one of the ends is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HoldFile {
    /// Which step.
    #[schemars(with = "String")]
    pub step: Located,
    /// Which occurrence of it, from 1; the first by default.
    pub nth: Option<u16>,
    /// Every occurrence.
    #[serde(default)]
    pub every: bool,
    /// For so long.
    #[serde(rename = "for")]
    pub length: Option<Span>,
    /// Until that moment of the run.
    pub until_time: Option<Span>,
    /// Until that step is done.
    #[schemars(with = "Option<String>")]
    pub until: Option<Located>,
    /// Until the pod has sent so many requests for its gateway.
    pub until_requests: Option<u32>,
    /// For ever.
    #[serde(default)]
    pub never: bool,
}

/// Something the link does to frames, or that a request of a real plugin meets. Exactly one action is
/// given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultFile {
    /// Which kind of frame; every one by default.
    pub frame: Option<crate::pair::FrameKind>,
    /// Sent by which side; both by default.
    pub from: Option<crate::control::Side>,
    /// Only to a unicast (false) or only to a group address (true).
    pub group: Option<bool>,
    /// A request of a real plugin, with `fail` or `kill`; else it is about frames.
    #[schemars(with = "Option<String>")]
    pub step: Option<Located>,
    /// The request fails with this error of the kernel, such as `EPERM`.
    #[schemars(with = "Option<String>")]
    pub fail: Option<Located>,
    /// The process that makes the request is killed before it is carried out, or after.
    pub kill: Option<KillFile>,
    /// From which such frame (or request) on, from 1.
    #[schemars(with = "Option<u32>")]
    pub nth: Option<Spanned<u32>>,
    /// How many of them; one when `nth` is given, else all.
    pub count: Option<u32>,
    /// In how many of a thousand cases; always by default.
    #[schemars(with = "Option<u32>")]
    pub per_mille: Option<Spanned<u32>>,
    /// Lost.
    #[serde(default)]
    pub drop: bool,
    /// Late by so much.
    pub delay: Option<Range<Span>>,
    /// Twice, the second so much later.
    pub duplicate: Option<Span>,
    /// Behind the next frame the same way.
    #[serde(default)]
    pub reorder: bool,
    /// One byte is changed.
    #[serde(default)]
    pub corrupt: bool,
}

/// Where a client runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientFrom {
    /// In the pod.
    Pod,
    /// On the node, as the kubelet's probes do. Of the pod's ports those that it goes to are served.
    Node,
}

/// The kinds of client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// ICMP echo requests at an interval.
    Ping,
    /// One TCP connection after the other, or one.
    TcpConnect,
    /// A TCP connection that keeps writing.
    TcpStream,
    /// UDP datagrams at an interval.
    Udp,
    /// Bare ARP requests.
    Arping,
}

impl core::fmt::Display for ClientKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            ClientKind::Ping => "ping",
            ClientKind::TcpConnect => "tcp-connect",
            ClientKind::TcpStream => "tcp-stream",
            ClientKind::Udp => "udp",
            ClientKind::Arping => "arping",
        })
    }
}

/// Something that runs in the pod.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientFile {
    /// Its name; its kind by default.
    #[schemars(with = "Option<String>")]
    pub name: Option<Located>,
    /// What it is.
    #[schemars(with = "ClientKind")]
    pub kind: Spanned<ClientKind>,
    /// Where it runs; in the pod by default.
    #[schemars(with = "Option<ClientFrom>")]
    pub from: Option<Spanned<ClientFrom>>,
    /// Whom it talks to: an address for ping and arping (IPv4), address and port for the others.
    #[schemars(with = "String")]
    pub to: Located,
    /// The step after which it starts; `kubelet.container-start` by default.
    #[schemars(with = "Option<String>")]
    pub after: Option<Located>,
    /// How long after that.
    pub delay: Option<Range<Span>>,
    /// Time between two sends; 1s by default.
    pub interval: Option<Span>,
    /// How many to send.
    pub count: Option<u32>,
    /// It stops after so many answers.
    pub stop_after: Option<u32>,
    /// When to give up altogether, from its start.
    pub deadline: Option<Span>,
    /// tcp-connect: pause before the next attempt; without it there is one attempt.
    pub retry: Option<Span>,
    /// tcp-connect, udp: the application's own patience with one attempt.
    pub timeout: Option<Span>,
    /// tcp-connect: so many connections at once.
    pub parallel: Option<u32>,
    /// udp: the socket asks for errors (IP_RECVERR).
    #[serde(default)]
    pub recverr: bool,
}
