//! `arplab learn`.

use super::capture::{CaptureFile, OutFile};
use super::fail::Fail;
use super::{change, output};
use crate::lesson::{
    Lesson, LessonError, Look, Playing, WriteError, file_name, lesson, lessons, letter, write_index,
    write_lesson,
};
use crate::near::meant;
use crate::scenario::{HoldOverride, Overrides, mitigation};
use std::io::{BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 whatever you predict; 2 when no prediction came, or for bad input.")]
pub(super) struct Args {
    /// A lesson's number or name; without one, all are listed
    lesson: Option<String>,
    /// The prediction, in the place of the keyboard: a letter of the choices
    #[arg(long, value_name = "LETTER", requires = "lesson")]
    answer: Option<String>,
    /// Change the run: apply a fix of its scenario
    #[arg(long, value_name = "NAME", requires = "lesson")]
    fix: Vec<String>,
    /// Change the run: apply a mitigation; `arplab list --mitigations` lists them
    #[arg(long, value_name = "NAME", requires = "lesson")]
    with: Vec<String>,
    /// Change the run: hold a step for a time (0s lifts a hold), such as felix.iface-seen=5s
    #[arg(long, value_name = "STEP=DURATION", requires = "lesson")]
    hold: Vec<HoldOverride>,
    /// Seed of the run's randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the lesson's frames as a pcapng capture with comments
    #[arg(long, value_name = "FILE", requires = "lesson")]
    pcap: Option<PathBuf>,
    /// Write the lessons as pages for a class into a directory, which is made if need be
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lesson"])]
    html: Option<PathBuf>,
}

impl From<LessonError> for Fail {
    fn from(e: LessonError) -> Fail {
        match e {
            LessonError::Plan(e) => e.into(),
            LessonError::Scenario(e) => e.into(),
            e => Fail::usage(format!("the lesson cannot be played: {e}")),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if let Some(dir) = &args.html {
        return pages(dir, args.seed);
    }
    let Some(word) = &args.lesson else {
        return list(&mut std::io::stdout().lock());
    };
    let found = lesson(word).ok_or_else(|| unknown(word))?;
    let scenario = Playing::scenario(found)?;
    let changes = change::overrides(&scenario, &args.hold, &args.fix, &args.with)?;
    let playing = Playing::of(found, &changes, args.seed)?;
    let given = args.answer.as_deref().map(|a| choice(found, a).ok_or_else(|| no_choice(found, a)));
    let given = given.transpose()?;
    let capture = args.pcap.as_deref().map(CaptureFile::at).transpose()?;
    let mut teacher = Teacher { playing, width: output::width(), out: &mut output::Report::new() };
    teacher.ask(&changes)?;
    let chosen = match given {
        Some(chosen) => {
            writeln!(teacher.out, "Your prediction: {}", letter(chosen))?;
            chosen
        }
        None => teacher.hear(&mut std::io::stdin().lock())?,
    };
    teacher.tell(chosen)?;
    if let (Some(capture), Some(path)) = (capture, &args.pcap) {
        capture.write(&teacher.playing.trace)?;
        teacher.say(&format!("The frames are in {}.", path.display()))?;
    }
    Ok(super::AS_EXPECTED)
}

fn unknown(word: &str) -> Fail {
    let meant = meant(word, lessons().iter().map(|l| l.id.as_str()));
    Fail::usage(format!(
        "there is no lesson {word:?}{meant}; they are numbered 1 to {} (`arplab learn` lists them)",
        lessons().len()
    ))
}

fn list(out: &mut dyn Write) -> Result<u8, Fail> {
    let width = output::width();
    let text = "Each lesson asks a question. You predict, then the lab plays it, shows what really happened \
                and says why. Nothing has to be known beforehand; begin with `arplab learn 1`.";
    writeln!(out, "{}", output::fold(text, 0, width))?;
    for lesson in lessons() {
        writeln!(out, "{:>3}  {:<16} {}", lesson.number, lesson.id, lesson.title)?;
    }
    let text = "A class may have them as pages: `arplab learn --html DIR`.";
    write!(out, "\n{}", output::fold(text, 0, width))?;
    Ok(super::AS_EXPECTED)
}

/// The place of the choice that a letter names.
fn choice(lesson: &Lesson, word: &str) -> Option<usize> {
    let word = word.trim();
    (0..lesson.choices.len()).find(|at| word.eq_ignore_ascii_case(&letter(*at).to_string()))
}

/// The letters there are, in words.
fn letters(lesson: &Lesson) -> String {
    let all: Vec<String> = (0..lesson.choices.len()).map(|at| letter(at).to_string()).collect();
    match &all[..] {
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    }
}

fn no_choice(lesson: &Lesson, word: &str) -> Fail {
    Fail::usage(format!("{word:?} is none of the choices of lesson {}: {}", lesson.number, letters(lesson)))
}

/// Bytes of a line from the keyboard at most.
const LINE_MAX: u64 = 1 << 10;

/// So many answers that are none are heard: a pipe may have no end of them.
const TRIES: usize = 10;

/// Who plays a lesson with a person.
struct Teacher<'a> {
    playing: Playing,
    width: usize,
    out: &'a mut dyn Write,
}

impl Teacher<'_> {
    fn say(&mut self, text: &str) -> Result<(), Fail> {
        self.say_at(0, text)
    }

    /// Prose, with the first line so far in and the others under it.
    fn say_at(&mut self, indent: usize, text: &str) -> Result<(), Fail> {
        Ok(self.out.write_all(output::fold(text, indent, self.width).as_bytes())?)
    }

    /// A line that begins with something, and the rest of it under where it goes on.
    fn item(&mut self, begin: &str, text: &str) -> Result<(), Fail> {
        let indent = begin.chars().count();
        let folded = output::fold(text, indent, self.width);
        // a command is long, and a word is not cut
        Ok(write!(self.out, "{begin}{}", folded.trim_start())?)
    }

    fn heading(&mut self, text: &str) -> Result<(), Fail> {
        Ok(writeln!(self.out, "\n{text}")?)
    }

    fn lines(&mut self, looks: &[Look]) -> Result<(), Fail> {
        for look in looks {
            match look {
                Look::Gap(count) => writeln!(self.out, "            [{count} more lines]")?,
                Look::Line(row) => {
                    // a step's name stands in a column of its own there
                    let text = match row.text.split_once("  ") {
                        Some((name, rest)) => format!("{name}: {}", rest.trim_start()),
                        None => row.text.clone(),
                    };
                    self.item(&format!("{:>10}  ", row.t.to_string()), &text)?;
                    for more in &row.more {
                        self.item(&" ".repeat(14), more)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, changes: &Overrides) -> Result<(), Fail> {
        let lesson = self.playing.lesson;
        self.say(&format!("Lesson {} of {}: {}", lesson.number, lessons().len(), lesson.title))?;
        writeln!(self.out)?;
        let before = self.playing.facts.fill(&lesson.before)?;
        self.say(&before)?;
        if lesson.capture {
            writeln!(self.out)?;
            self.lines(&self.playing.wire())?;
        }
        self.changed(changes)?;
        self.heading("Question")?;
        let question = self.playing.facts.fill(&lesson.question)?;
        self.say_at(2, &question)?;
        writeln!(self.out)?;
        for (at, of) in lesson.choices.iter().enumerate() {
            let text = self.playing.facts.fill(&of.text)?;
            self.item(&format!("  {}  ", letter(at)), &text)?;
        }
        Ok(writeln!(self.out)?)
    }

    /// What is otherwise than the lesson has it.
    fn changed(&mut self, changes: &Overrides) -> Result<(), Fail> {
        let scenario = Playing::scenario(self.playing.lesson)?;
        let fixes = changes.own_fixes().filter_map(|name| {
            scenario.file().fixes.iter().find(|fix| fix.name.get_ref() == name).map(|fix| fix.title.clone())
        });
        let with = changes.mitigations().filter_map(|name| Some(mitigation(name)?.title.clone()));
        let holds = changes.holds.iter().map(|hold| format!("{} is held for {}", hold.step, hold.length));
        let all: Vec<String> = fixes.chain(with).chain(holds).collect();
        if all.is_empty() {
            return Ok(());
        }
        self.heading("But this time")?;
        all.iter().try_for_each(|text| self.say_at(2, text))
    }

    /// The prediction, from the keyboard or a pipe.
    fn hear(&mut self, from: &mut dyn BufRead) -> Result<usize, Fail> {
        let lesson = self.playing.lesson;
        let letters = letters(lesson);
        for _ in 0..TRIES {
            write!(self.out, "Your prediction ({letters}): ")?;
            self.out.flush()?;
            let mut line = Vec::new();
            let read = |e: std::io::Error| Fail::usage(format!("reading your prediction failed: {e}"));
            let count = from.take(LINE_MAX).read_until(b'\n', &mut line).map_err(read)?;
            if count == 0 {
                writeln!(self.out)?;
                let message = format!("no prediction came; answer {letters}, or give --answer");
                return Err(Fail::usage(message));
            }
            let word = String::from_utf8_lossy(&line);
            if let Some(chosen) = choice(lesson, &word) {
                return Ok(chosen);
            }
            self.say(&format!("Please answer {letters}; Ctrl-D leaves."))?;
        }
        Err(Fail::usage(format!("{TRIES} answers, and none of them is {letters}")))
    }

    fn tell(&mut self, chosen: usize) -> Result<(), Fail> {
        let lesson = self.playing.lesson;
        let right = self.playing.right()?;
        self.heading("Look")?;
        self.say_at(2, &format!("`{}` in the simulator:", self.playing.command()))?;
        writeln!(self.out)?;
        self.lines(&self.playing.look())?;
        self.heading("Your prediction")?;
        if right.contains(&chosen) {
            self.say_at(2, &format!("Yes, {} is right.", letter(chosen)))?;
        } else {
            let why = self.playing.why_wrong(chosen)?.unwrap_or_default();
            self.say_at(2, &format!("No, not {}. {why}", letter(chosen)))?;
            match &right[..] {
                [] => self.say_at(2, "This run is changed so that none of the choices fits it.")?,
                all => {
                    let all: Vec<String> = all.iter().map(|at| letter(*at).to_string()).collect();
                    self.say_at(2, &format!("Right is {}.", all.join(" and ")))?;
                }
            }
        }
        self.heading("Why")?;
        for (at, text) in self.playing.explanation()?.iter().enumerate() {
            if at > 0 {
                writeln!(self.out)?;
            }
            self.say_at(2, text)?;
        }
        self.heading("Where to read it")?;
        for source in &lesson.sources {
            self.item("  - ", &format!("{}: {}", source.reference, source.says))?;
        }
        self.heading("Change the run, and predict again")?;
        for vary in &lesson.variations {
            self.command(&vary.says, &format!("arplab learn {}{}", lesson.number, vary.options()))?;
        }
        self.heading("Try it yourself")?;
        for attempt in &lesson.attempts {
            self.command(&attempt.says, &attempt.command)?;
        }
        if let Some(live) = self.playing.live_command() {
            let says = format!(
                "The same run with a real pod and this machine's kernel as the node; it takes {}.",
                self.playing.length()
            );
            self.command(&says, &live)?;
        }
        if let Some(next) = lessons().get(lesson.number) {
            self.heading(&format!("Next: arplab learn {}", next.number))?;
        }
        Ok(())
    }

    /// A command on lines of its own below what it is for. Where it is folded the shell puts it together.
    fn command(&mut self, says: &str, command: &str) -> Result<(), Fail> {
        self.say_at(2, says)?;
        let folded = output::fold(command, 6, self.width.saturating_sub(2));
        Ok(writeln!(self.out, "{}", folded.trim_end().replace('\n', " \\\n"))?)
    }
}

/// Every lesson as a page, and their list.
fn pages(dir: &Path, seed: u64) -> Result<u8, Fail> {
    std::fs::create_dir_all(dir)
        .map_err(|e| Fail::usage(format!("making the directory {} failed: {}", dir.display(), e.kind())))?;
    let mut written = Vec::new();
    for lesson in lessons() {
        let playing = Playing::of(lesson, &Overrides::default(), seed)?;
        let mut bytes = Vec::new();
        write_lesson(&playing, &mut bytes).map_err(|e| match e {
            WriteError::Lesson(e) => e.into(),
            WriteError::Io(e) => Fail::from(e),
        })?;
        written.push((dir.join(file_name(lesson)), bytes));
    }
    let mut bytes = Vec::new();
    write_index(&mut bytes)?;
    written.push((dir.join("index.html"), bytes));
    for (path, bytes) in &written {
        OutFile::at(path, "page")?.write(bytes)?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} lessons; begin with {}", lessons().len(), dir.join("index.html").display())?;
    Ok(super::AS_EXPECTED)
}
