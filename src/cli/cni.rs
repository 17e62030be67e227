//! `arplab cni`.

use super::capture::OutFile;
use super::fail::Fail;
use crate::addr::IfName;
use crate::cni::{self, Conflist, InvokeError, PluginTraceError, StepHold, TraceOptions};
use crate::near::WordError;
use crate::time::Span;
use netns_lab::supervise::SuperviseError;
use serde_json::{Map, Value};
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run a plugin's ADD in a node and a pod of the lab, and show every request of it
    Trace(TraceArgs),
    /// Hold, fail and cut off every step of a plugin's ADD, CHECK and DEL in turn, and see what becomes of
    /// the pod, of other pods and of the node
    Explore(super::cni_explore::ExploreArgs),
    /// Play a case that explore has kept
    Replay(super::cni_explore::ReplayArgs),
}

/// Which plugins, and what they are told.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// A network configuration (a file ending in .conflist, .conf or .json), or a plugin by name or
    /// path, which is then given an address by host-local
    #[arg(value_name = "PLUGIN|CONFLIST")]
    network: PathBuf,
    /// Where plugins are, the first folder that has one wins; host-local must be in one of them, too, so
    /// give it twice if need be: --bin-dir ./mine --bin-dir /usr/lib/cni
    /// [default: those of CNI_PATH, else /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni]
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Vec<PathBuf>,
    /// The version of the specification, for a plugin without a configuration
    #[arg(long, value_name = "VERSION", default_value = "1.0.0",
          value_parser = clap::builder::PossibleValuesParser::new(cni::VERSIONS))]
    cni_version: String,
    /// CNI_ARGS, as K=V;K=V
    #[arg(long, value_name = "ARGS", value_parser = cni_args)]
    args: Option<String>,
    /// Values for capabilities that plugins declare, as a JSON object
    #[arg(long, value_name = "JSON")]
    capability_args: Option<String>,
    /// The pod's interface
    #[arg(long, value_name = "NAME", default_value = "eth0", value_parser = ifname)]
    ifname: IfName,
    /// The pod's gateway [default: that of its routes, or of the result]
    #[arg(long, value_name = "IP", value_parser = super::probe::host)]
    gateway: Option<Ipv4Addr>,
    /// How long one plugin may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::explore::some_time)]
    timeout: Span,
}

#[derive(Debug, clap::Args)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    target: Target,
    /// Do CHECK after ADD, where the version has it
    #[arg(long)]
    check: bool,
    /// Do DEL at the end
    #[arg(long)]
    del: bool,
    /// Show questions, files and names as well
    #[arg(long)]
    full: bool,
    /// One JSON object a step
    #[arg(long, conflicts_with = "full")]
    json: bool,
    /// Write what passed the pod's interface, with the steps as comments
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// How long the gateway may stay silent after ADD
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    patience: Span,
    /// So many pods of one node, pod1, pod2, ...: ADD of all is begun at the same moment, and so are
    /// CHECK and DEL
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pods: u8,
    /// Hold a pod's step for a time while the others go on, such as "pod2/route-append pod default=200ms";
    /// without a pod, or with *, of each pod
    #[arg(long, value_name = "POD/STEP=DURATION")]
    hold: Vec<StepHold>,
}

fn cni_args(text: &str) -> Result<String, WordError> {
    cni::check_args(text).map(|()| text.to_owned()).map_err(|e| e.to_string().into())
}

/// A name for the pod's interface, which has `lo` already.
fn ifname(text: &str) -> Result<IfName, WordError> {
    match text.parse::<IfName>() {
        Ok(IfName::LO) => Err("the pod has its own lo already; another name is wanted".into()),
        name => name.map_err(|e| e.to_string().into()),
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    match &args.command {
        Command::Trace(args) => trace(args),
        Command::Explore(args) => super::cni_explore::explore(args),
        Command::Replay(args) => super::cni_explore::replay(args),
    }
}

fn trace(args: &TraceArgs) -> Result<u8, Fail> {
    let (list, options) = args.target.read()?;
    let options = TraceOptions { patience: args.patience, check: args.check, del: args.del, ..options };
    let capture = args.pcap.as_deref().map(|path| OutFile::at(path, "capture")).transpose()?;
    // before there are threads
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let pods = usize::from(args.pods);
    if pods > 1 {
        // each has namespaces, sockets and a supervisor of its own
        netns_lab::raise_open_file_limit().map_err(|e| Fail::cannot(format!("limit on open files: {e}")))?;
    }
    let together = cni::trace_pods(pods, &list, &options, &args.hold).map_err(|e| fail(&e))?;
    if let Some(file) = capture {
        let bytes =
            cni::pcapng_of_pods(&together, &options.ifname).map_err(|e| Fail::cannot(e.to_string()))?;
        file.write(&bytes)?;
    }
    let mut out = super::output::Report::new();
    if args.json {
        for line in cni::json_of_pods(&together) {
            writeln!(out, "{line}")?;
        }
    } else {
        write!(out, "{}", cni::timeline_of_pods(&together, args.full))?;
    }
    verdict(&together)
}

/// An error that the plugin reported is what it may do; anything else that is no answer is bad input,
/// whichever pod met it.
fn verdict(together: &cni::TogetherTrace) -> Result<u8, Fail> {
    let mut code = super::AS_EXPECTED;
    for pod in &together.pods {
        let of = if together.pods.len() > 1 { format!(" for {}", pod.pod) } else { String::new() };
        let operations = pod.trace.operations.iter();
        let invocations = operations.flat_map(|it| it.invocations.iter().map(move |i| (it.verb.word(), i)));
        for (verb, invocation) in invocations {
            let what = match &invocation.answer {
                Ok(_) if invocation.left_behind => " left processes behind, which were killed".into(),
                Ok(_) => continue,
                Err(cni::CniFault::Reported(_)) => {
                    code = super::UNEXPECTED;
                    break;
                }
                Err(fault) => format!(": {fault}"),
            };
            return Err(Fail::usage(format!("{verb} of plugin `{}`{of}{what}", invocation.plugin)));
        }
    }
    Ok(code)
}

pub(super) fn fail(error: &PluginTraceError) -> Fail {
    match error {
        PluginTraceError::NoPlugin { .. }
        | PluginTraceError::Hold(_)
        | PluginTraceError::Invoke { source: InvokeError::Supervise(SuperviseError::Exec { .. }), .. } => {
            Fail::usage(error.to_string())
        }
        _ => Fail::cannot(error.to_string()),
    }
}

impl Target {
    /// The configuration, and how its plugins are run.
    pub(super) fn read(&self) -> Result<(Conflist, TraceOptions), Fail> {
        let (list, folders) = self.list()?;
        let options = TraceOptions {
            folders,
            args: self.args.clone(),
            capability_args: self.capability_args(&list)?,
            ifname: self.ifname.to_string(),
            timeout: self.timeout,
            patience: Span::ZERO,
            gateway: self.gateway,
            check: false,
            del: false,
        };
        Ok((list, options))
    }

    fn list(&self) -> Result<(Conflist, Vec<PathBuf>), Fail> {
        let cni_path = std::env::var("CNI_PATH").ok();
        let mut folders = cni::plugin_folders(&self.bin_dir, cni_path.as_deref());
        for folder in &mut folders {
            // a plugin starts in `/`
            *folder = std::path::absolute(&*folder).unwrap_or_else(|_| folder.clone());
        }
        let extension = self.network.extension().and_then(|it| it.to_str()).unwrap_or_default();
        if ["conflist", "conf", "json"].contains(&extension) {
            let list = Conflist::load(&self.network).map_err(|e| Fail::usage(e.to_string()))?;
            return Ok((list, folders));
        }
        let name = self.network.file_name().and_then(|it| it.to_str());
        let name = name.ok_or_else(|| Fail::usage(format!("{} is no plugin", self.network.display())))?;
        if self.network.components().count() > 1 {
            let path = std::path::absolute(&self.network).unwrap_or_else(|_| self.network.clone());
            if !path.exists() {
                return Err(Fail::usage(format!("there is no plugin {}", self.network.display())));
            }
            folders.insert(0, path.parent().unwrap_or(Path::new("/")).to_owned());
        }
        Ok((Conflist::usual(name, &self.cni_version), folders))
    }

    fn capability_args(&self, list: &Conflist) -> Result<Map<String, Value>, Fail> {
        let Some(text) = &self.capability_args else { return Ok(Map::new()) };
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => match list.undeclared(&values) {
                Some(name) => Err(Fail::usage(format!("--capability-args: {}", cni::undeclared_words(name)))),
                None => Ok(values),
            },
            Ok(_) => Err(Fail::usage("--capability-args wants a JSON object")),
            Err(e) => Err(Fail::usage(format!("--capability-args: no JSON: {e}"))),
        }
    }
}
