//! The command line: one file a subcommand, no logic of its own.

mod capture;
mod change;
#[cfg(feature = "live")]
mod cni;
#[cfg(feature = "live")]
mod cni_explore;
mod compare;
mod conform;
mod delays;
mod differential;
mod explore;
mod fail;
mod identify;
#[cfg(feature = "live")]
mod lab;
mod learn;
mod list;
mod matrix;
mod mechanism;
mod minute;
mod output;
mod picture;
mod probe;
mod run;
mod schema;
mod show;
#[cfg(feature = "live")]
mod teller;
mod unknown;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use fail::Fail;
use std::io::Write as _;
use std::process::ExitCode;

/// Exit status: everything was as expected.
const AS_EXPECTED: u8 = 0;
/// Exit status: an expectation failed, or the run was given up.
const UNEXPECTED: u8 = 1;
/// Exit status: wrong usage or bad input.
const USAGE: u8 = 2;
/// Exit status: this machine cannot do it.
const CANNOT: u8 = 3;

/// Exit status: ended by a signal, as a shell reports it.
#[cfg(feature = "live")]
const fn interrupted(by: crate::live::Interrupt) -> u8 {
    match by {
        crate::live::Interrupt::Int => 130,
        crate::live::Interrupt::Term => 143,
    }
}

/// What is said to somebody who gives no command. It goes to standard error and is wrong usage, as clap has
/// it: a script whose command went missing must not go on as if something had been done.
const BEGIN_WITH: &str = "\
arplab: a command is wanted. Three to begin with:

  arplab run 8689      a new pod's gateway stays silent for a minute: what happens, and why
  arplab list          every scenario; `arplab list udev` or an issue's address: those about it
  arplab identify --entry FAILED --heard yes --answered no
                       which mechanisms fit what you see; `arplab identify --help` says what it can be told

`arplab --help` lists the commands.
";

/// A lab for the gateway ARP of Kubernetes pods under Calico.
///
/// A pod under Calico reaches everything through one made-up gateway, 169.254.1.1, for which the
/// host end of its veth answers by proxy ARP. arplab shows the ways in which that answer is late,
/// missing or wrong, on one machine, on demand, the same way each time, and tells why.
#[derive(Debug, Parser)]
#[command(name = "arplab", version, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 as expected, 1 an expectation failed or the run was given up, 2 usage or bad input, \
                        3 this machine cannot (and what is missing), 130 or 143 interrupted (Ctrl-C or SIGTERM).\n\
                        Start with: arplab run 8689\n\
                        Beside it stands arplab-cni, a CNI plugin that gives containers of your own runtime such a window \
                        (docs/arplab-cni.md); `arplab cni` takes other people's plugins apart."
)]
struct Cli {
    /// More logging on standard error; RUST_LOG is heeded too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the scenarios: all, those about an issue, or those with your words in them
    List(list::Args),
    /// Tell a scenario's story, mechanism, sources and fixes
    Show(show::Args),
    /// Run a scenario and check what it expects
    Run(run::Args),
    /// Bring a scenario up and leave it there, to look into it and to change it by hand
    #[cfg(feature = "live")]
    Up(lab::UpArgs),
    /// List the labs that are up
    #[cfg(feature = "live")]
    Ps,
    /// Run a command in the pod or the node of a lab that is up
    #[cfg(feature = "live")]
    Exec(lab::ExecArgs),
    /// Open a shell in the pod or the node of a lab that is up
    #[cfg(feature = "live")]
    Shell(lab::ShellArgs),
    /// Tell how a lab stands: what the model expects, what is held, how the clients fare
    #[cfg(feature = "live")]
    Status(lab::NameArgs),
    /// Let a held step of a lab go on
    #[cfg(feature = "live")]
    Release(lab::ReleaseArgs),
    /// Hold a step of a lab that is to come
    #[cfg(feature = "live")]
    Hold(lab::HoldArgs),
    /// Print what happened in a lab
    #[cfg(feature = "live")]
    Log(lab::LogArgs),
    /// Write the frames of a lab as they pass, from its beginning
    #[cfg(feature = "live")]
    Capture(lab::CaptureArgs),
    /// End a lab, and tell what came of it
    #[cfg(feature = "live")]
    Down(lab::DownArgs),
    /// Short lessons: predict what a run does, see it, and learn why
    Learn(learn::Args),
    /// Run scenarios with mitigations and tell which cure, shorten, do nothing or break something
    Matrix(matrix::Args),
    /// Tell every way in which a minute is lost: mechanism, client, timers
    WhyAMinute(minute::Args),
    /// Rank the mechanisms that fit what you see
    Identify(identify::Args),
    /// Question whoever answers ARP for a pod's gateway, and judge the answers clause by clause
    Probe(probe::Args),
    /// Run a real CNI plugin on the stage and see what it asks of the kernel
    #[cfg(feature = "live")]
    Cni(cni::Args),
    /// Hold the model against recordings of a kernel
    Conform(conform::Args),
    /// Print how long clients wait for a gateway that answers late
    Delays(delays::Args),
    /// Run every corner this machine can, and show them side by side
    Compare(compare::Args),
    /// Compare the model of the host with this machine's kernel, in random states
    Differential(differential::Args),
    /// Search every order of events up to a bound for one that fails
    Explore(Box<explore::Args>),
    /// Print the JSON Schema of scenario files or of events
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page: arplab's own, or a command's, such as arplab-run(1)
    Man {
        /// The command
        command: Option<String>,
    },
}

/// Runs the program. Call it before any thread is started: a live run without root enters a user
/// namespace, which the kernel allows to a single thread only.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // --help and --version are no errors
            let code = if e.use_stderr() { USAGE } else { AS_EXPECTED };
            if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                && std::env::args_os().len() == 1
            {
                let _ = std::io::stderr().write_all(BEGIN_WITH.as_bytes());
            } else {
                let _ = e.print();
            }
            return ExitCode::from(code);
        }
    };
    start_logging(cli.verbose);
    match dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(fail) if fail.is_broken_pipe() => ExitCode::from(AS_EXPECTED),
        Err(fail) => {
            complain(&fail);
            ExitCode::from(fail.code)
        }
    }
}

/// Says something on standard error, if anybody can hear it there.
fn complain(what: &dyn core::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "arplab: {what}");
}

fn dispatch(command: Command) -> Result<u8, Fail> {
    match command {
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "live")]
        Command::Up(args) => lab::up(&args),
        #[cfg(feature = "live")]
        Command::Ps => lab::ps(),
        #[cfg(feature = "live")]
        Command::Exec(args) => lab::exec(&args),
        #[cfg(feature = "live")]
        Command::Shell(args) => lab::shell(&args),
        #[cfg(feature = "live")]
        Command::Status(args) => lab::status(&args),
        #[cfg(feature = "live")]
        Command::Release(args) => lab::release(&args),
        #[cfg(feature = "live")]
        Command::Hold(args) => lab::hold(&args),
        #[cfg(feature = "live")]
        Command::Log(args) => lab::log(&args),
        #[cfg(feature = "live")]
        Command::Capture(args) => lab::capture(&args),
        #[cfg(feature = "live")]
        Command::Down(args) => lab::down(&args),
        Command::Learn(args) => learn::run(&args),
        Command::Identify(args) => identify::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::WhyAMinute(args) => minute::run(&args),
        Command::Probe(args) => probe::run(&args),
        #[cfg(feature = "live")]
        Command::Cni(args) => cni::run(&args),
        Command::Conform(args) => conform::run(&args),
        Command::Delays(args) => delays::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Differential(args) => differential::run(&args),
        Command::Explore(args) => explore::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions { shell } => schema::completions(shell),
        Command::Man { command } => schema::man(command.as_deref()),
    }
}

fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn,netlink_proto=error",
        1 => "arplab=info,netns_lab=info",
        2 => "arplab=debug,netns_lab=debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // fails only when a subscriber is set already, as in tests that call main() twice
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// The command as clap knows it, for completions, the manual page and tests.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
