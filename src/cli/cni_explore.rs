//! `arplab cni explore` and `arplab cni replay`.

use super::capture::OutFile;
use super::cni::Target;
use super::fail::Fail;
use super::output;
use crate::cni::explore::{
    self, CutError, CutOptions, CutOutcome, CutProgress, CutReport, Kept, PluginProperty, ReplayError,
    TestLanguage, json, junit, markdown, table,
};
use crate::cni::{CniFault, Conflist};
use crate::time::Span;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What errors call a file that a search leaves behind.
const WHAT: &str = "result";

/// How often the line on the terminal is drawn.
const EVERY: Duration = Duration::from_millis(200);
/// Bytes of a case's file at most.
const FILE_MAX: u64 = 4 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct ExploreArgs {
    #[command(flatten)]
    target: Target,
    /// How long a step is held
    #[arg(long, value_name = "DURATION", default_value = "50ms")]
    hold: Span,
    /// How long the gateway may take to answer after ADD
    #[arg(long, value_name = "DURATION", default_value = "500ms",
          value_parser = super::explore::some_time)]
    within: Span,
    /// Look at this property only; may be given several times
    #[arg(long, value_name = "NAME")]
    property: Vec<PluginProperty>,
    /// The most cases to play, in the order of steps [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    budget: Option<u64>,
    /// Time to spend; a case that has begun is played to its end
    #[arg(long, value_name = "DURATION")]
    budget_time: Option<Span>,
    /// Cases that are played at once [default: two a processor, since most of a case is waiting]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Write the smallest failing case, for `arplab cni replay`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write the smallest failing case as a test that fails for as long as it does: a shell script (.sh), or
    /// a file for the tests folder of a crate (.rs)
    #[arg(long, value_name = "FILE")]
    save_test: Option<PathBuf>,
    /// Write every failing case into a folder
    #[arg(long, value_name = "FOLDER")]
    save_all: Option<PathBuf>,
    /// Write what came of it as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// One JSON object a case, and one of them all
    #[arg(long)]
    json: bool,
    /// What was found as a table for a README, the same in each run
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// A file that `arplab cni explore --save` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Exit with 1 for as long as a property is not kept, as a regression test
    #[arg(long)]
    holds: bool,
    /// Print the regression test, in the shell or in Rust, and play nothing
    #[arg(long, value_name = "LANGUAGE", conflicts_with = "holds", num_args = 0..=1,
          default_missing_value = "sh", value_parser = ["sh", "rs"])]
    test: Option<String>,
}

pub(super) fn explore(args: &ExploreArgs) -> Result<u8, Fail> {
    let (list, cni) = args.target.read()?;
    let language = args.save_test.as_deref().map(language_of).transpose()?;
    for file in [&args.save, &args.save_test, &args.junit].into_iter().flatten() {
        // looked at before a long search
        OutFile::at(file, WHAT)?;
    }
    if let Some(folder) = &args.save_all {
        look_at_folder(folder)?;
    }
    let threads = args.threads.map(usize::from);
    let properties = properties(&args.property, &list)?;
    let options = CutOptions {
        cni,
        hold: args.hold,
        within: args.within,
        properties,
        budget: args.budget.map(|it| usize::try_from(it).unwrap_or(usize::MAX)),
        budget_time: args.budget_time,
        threads: threads
            .unwrap_or_else(|| 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    };
    // before there are threads
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let begun = std::time::Instant::now();
    let report = watched(|progress| explore::explore(&list, &options, progress)).map_err(|e| fail(&e))?;
    let kept = |it: &explore::PlayedCut| Kept::new(&list, &options, it);
    keep(args, &report, language, kept)?;
    if let Some(path) = &args.junit {
        let xml = junit(&report, &list.name, &options.properties).map_err(|e| Fail::cannot(e.to_string()))?;
        write(path, &xml)?;
    }
    let mut out = super::output::Report::new();
    if args.json {
        for line in json(&report) {
            writeln!(out, "{line}")?;
        }
    } else if args.markdown {
        write!(out, "{}", markdown(&report, &options.properties))?;
    } else {
        write!(out, "{}", table(&report, &options.properties))?;
        summary(args, &report, begun.elapsed(), &mut out)?;
    }
    Ok(if report.is_well() { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// The language of a test, by the file's name.
fn language_of(path: &Path) -> Result<TestLanguage, Fail> {
    match path.extension().and_then(|it| it.to_str()) {
        Some("sh") => Ok(TestLanguage::Shell),
        Some("rs") => Ok(TestLanguage::Rust),
        _ => {
            Err(Fail::usage(format!("--save-test {}: a name ending in .sh or .rs is wanted", path.display())))
        }
    }
}

/// Those that were asked for, or all that the configuration's version has.
fn properties(asked: &[PluginProperty], list: &Conflist) -> Result<Vec<PluginProperty>, Fail> {
    let there = PluginProperty::of(list);
    if let Some(none) = asked.iter().find(|it| !there.contains(it)) {
        let why = "this configuration's cniVersion does not have it, or it is switched off there";
        return Err(Fail::usage(format!("--property {none}: {why}")));
    }
    Ok(there.into_iter().filter(|it| asked.is_empty() || asked.contains(it)).collect())
}

fn summary(args: &ExploreArgs, report: &CutReport, took: Duration, out: &mut impl Write) -> Result<(), Fail> {
    let failing = report.played.iter().filter(|it| it.outcome.lacks().next().is_some()).count();
    let (cases, steps) = (report.played.len(), report.steps.len());
    writeln!(out, "\n{cases} cases at {steps} steps in {:.1} s; {failing} fail.", took.as_secs_f64())?;
    let wavering = report.played.iter().filter(|it| !it.wavering.is_empty()).count();
    if wavering > 0 {
        writeln!(out, "{wavering} failed once and not when played again, which is not counted.")?;
    }
    if report.left_out > 0 {
        writeln!(out, "{} cases are left out: the budget was spent.", report.left_out)?;
    }
    if report.smallest().is_some() {
        let words = match &args.save {
            Some(path) => format!("Play the smallest again: arplab cni replay {}", path.display()),
            None => "Keep the smallest with --save FILE, all with --save-all FOLDER.".into(),
        };
        writeln!(out, "{words}")?;
    }
    Ok(())
}

fn keep(
    args: &ExploreArgs,
    report: &CutReport,
    language: Option<TestLanguage>,
    kept: impl Fn(&explore::PlayedCut) -> Kept,
) -> Result<(), Fail> {
    let text = |kept: &Kept| kept.to_text().map_err(|e| Fail::cannot(e.to_string()));
    if let Some(smallest) = report.smallest().map(&kept) {
        if let Some(path) = &args.save {
            write(path, &text(&smallest)?)?;
        }
        if let Some((path, language)) = args.save_test.as_ref().zip(language) {
            write(path, &smallest.to_test(language).map_err(|e| Fail::cannot(e.to_string()))?)?;
        }
    }
    if let Some(folder) = &args.save_all {
        std::fs::create_dir_all(folder)
            .map_err(|e| Fail::usage(format!("making the folder {} failed: {e}", folder.display())))?;
        let failing = report.played.iter().filter(|it| it.outcome.lacks().next().is_some());
        for (number, played) in failing.enumerate() {
            write(&folder.join(format!("case-{:03}.toml", number + 1)), &text(&kept(played))?)?;
        }
    }
    Ok(())
}

/// Looks whether cases can be written into a folder that need not be there yet.
fn look_at_folder(folder: &Path) -> Result<(), Fail> {
    let fail = |there: &Path, why: &dyn core::fmt::Display| {
        Fail::usage(format!("making the folder {} failed: {}: {why}", folder.display(), there.display()))
    };
    let named = folder.ancestors().map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it });
    for there in named {
        match std::fs::metadata(there) {
            Ok(it) if !it.is_dir() => return Err(fail(there, &"it is no directory")),
            Ok(_) => return tempfile::tempfile_in(there).map(drop).map_err(|e| fail(there, &e.kind())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !there.is_symlink() => {}
            Err(e) => return Err(fail(there, &e)),
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Fail> {
    OutFile::at(path, WHAT)?.write(text.as_bytes())
}

/// Runs a search, with a line on standard error if that is a terminal.
fn watched<T: Send>(search: impl FnOnce(&CutProgress) -> T + Send) -> T {
    let progress = CutProgress::default();
    let Some(bar) = output::spinner() else { return search(&progress) };
    let (over, is_over) = channel::<()>();
    std::thread::scope(|scope| {
        let progress = &progress;
        scope.spawn(move || {
            while is_over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let played = progress.played.load(Ordering::Relaxed);
                match progress.all.load(Ordering::Relaxed) {
                    0 => bar.set_message("looking for steps"),
                    all => bar.set_message(format!("{played} of {all} cases")),
                }
                bar.tick();
            }
            bar.finish_and_clear();
        });
        let found = search(progress);
        drop(over);
        found
    })
}

pub(super) fn replay(args: &ReplayArgs) -> Result<u8, Fail> {
    let shown = args.file.display();
    let text = read(&args.file)?;
    let kept = Kept::parse(&text).map_err(|e| Fail::usage(format!("{shown}: {e}")))?;
    let mut out = super::output::Report::new();
    if let Some(language) = &args.test {
        let language = if language == "rs" { TestLanguage::Rust } else { TestLanguage::Shell };
        write!(out, "{}", kept.to_test(language).map_err(|e| Fail::usage(format!("{shown}: {e}")))?)?;
        return Ok(super::AS_EXPECTED);
    }
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let replayed = kept.replay().map_err(|e| match &e {
        ReplayError::Keep(e) => Fail::usage(format!("{shown}: {e}")),
        ReplayError::Explore(e) => fail(e),
    })?;
    let outcome = &replayed.played.outcome;
    writeln!(out, "{}", replayed.played.what())?;
    tell(outcome, &mut out)?;
    if !outcome.reached {
        return Err(Fail::usage(format!("{shown}: the plugin no longer comes to that step")));
    }
    let is_well = outcome.lacks().next().is_none();
    writeln!(out, "{}", if replayed.as_recorded { "As recorded." } else { "NOT as recorded." })?;
    let good = if args.holds { is_well } else { replayed.as_recorded };
    Ok(if good { super::AS_EXPECTED } else { super::UNEXPECTED })
}

fn tell(outcome: &CutOutcome, out: &mut impl Write) -> Result<(), Fail> {
    for (property, kept) in &outcome.verdicts {
        match kept {
            Ok(()) => writeln!(out, "  {:<10} kept", property.name())?,
            Err(why) => writeln!(out, "  {:<10} NOT kept: {why}", property.name())?,
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Fail> {
    let fail = |why| Fail::usage(format!("reading the case {} failed: {why}", path.display()));
    crate::regular::text(path, FILE_MAX).map_err(fail)
}

/// What a plugin reports by the specification is an outcome; what is no answer is bad input.
fn fail(error: &CutError) -> Fail {
    match error {
        CutError::Undisturbed(fault) if matches!(fault.why, Some(CniFault::Reported(_))) => {
            Fail::unexpected(error.to_string())
        }
        CutError::Undisturbed(_) => Fail::usage(error.to_string()),
        CutError::Trace(error) => super::cni::fail(error),
        CutError::Stage(_) | CutError::Io(_) => Fail::cannot(error.to_string()),
    }
}
