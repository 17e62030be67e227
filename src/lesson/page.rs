//! Lessons as pages for a class: a file each, and one that lists them. They need no network and no
//! program; without scripts, and on paper, the answers stand below the questions.

use super::file::{Lesson, Source};
use super::playing::{Look, Playing, letter};
use super::{LessonError, lessons};
use crate::trace::{STYLE, Shown, escaped, write_body};
use std::io::{self, Write};

const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// The name of the list's file.
const INDEX: &str = "index.html";

/// The name of a lesson's file.
#[must_use]
pub fn file_name(lesson: &Lesson) -> String {
    format!("{:02}-{}.html", lesson.number, lesson.id)
}

fn head(title: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = escaped(title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; form-action 'none'\">\n<title>{title} - arplab learn</title>\n\
         <style>\n{STYLE}{CSS}</style>\n<noscript><style>[hidden] {{ display: block; }}</style></noscript>\n\
         </head>\n<body class=\"lesson\">\n"
    )
}

/// Writes the page that lists the lessons.
pub fn write_index(out: &mut dyn Write) -> io::Result<()> {
    head("Lessons", out)?;
    write!(
        out,
        "<main>\n<h1>Why does my pod's gateway not answer?</h1>\n\
         <p>Each lesson asks a question. Make a guess, then see what really happens, and why. No lesson \
         needs more than a few minutes.</p>\n<ol>\n"
    )?;
    for lesson in lessons() {
        let (file, title) = (file_name(lesson), escaped(&lesson.title));
        writeln!(out, "<li><a href=\"{file}\">{title}</a></li>")?;
    }
    write!(out, "</ol>\n</main>\n</body>\n</html>\n")
}

/// A text with its parts between backticks as code.
fn prose(text: &str) -> String {
    let mut parts = text.trim().split('`');
    let mut out = escaped(parts.next().unwrap_or_default());
    for (at, part) in parts.enumerate() {
        out.push_str(if at % 2 == 0 { "<code>" } else { "</code>" });
        out.push_str(&escaped(part));
    }
    out.replace("\n\n", "</p>\n<p>")
}

fn lines(looks: &[Look], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<pre>")?;
    for look in looks {
        match look {
            Look::Gap(count) => writeln!(out, "           [{count} more lines]")?,
            Look::Line(row) => {
                writeln!(out, "{:>10}  {}", row.t.to_string(), escaped(&row.text))?;
                for more in &row.more {
                    writeln!(out, "{:12}{}", "", escaped(more))?;
                }
            }
        }
    }
    writeln!(out, "</pre>")
}

fn neighbour(lesson: Option<&Lesson>, word: &str) -> String {
    lesson.map_or(String::new(), |l| format!(" <a href=\"{}\">{word}</a>", file_name(l)))
}

/// Writes a lesson's page.
pub fn write_lesson(playing: &Playing, out: &mut dyn Write) -> Result<(), WriteError> {
    let lesson = playing.lesson;
    let facts = &playing.facts;
    head(&lesson.title, out)?;
    let at = lesson.number - 1;
    let before = at.checked_sub(1).and_then(|at| lessons().get(at));
    let nav = neighbour(before, "Before") + &neighbour(lessons().get(at + 1), "Next");
    write!(out, "<nav><a href=\"{INDEX}\">All lessons</a>{nav}</nav>\n<main>\n")?;
    writeln!(out, "<h1>{}. {}</h1>", lesson.number, escaped(&lesson.title))?;
    writeln!(out, "<p>{}</p>", prose(&facts.fill(&lesson.before)?))?;
    if lesson.capture {
        lines(&playing.wire(), out)?;
    }
    write!(
        out,
        "<form id=\"predict\">\n<fieldset>\n<legend>{}</legend>\n",
        prose(&facts.fill(&lesson.question)?)
    )?;
    for (choice, of) in lesson.choices.iter().enumerate() {
        let letter = letter(choice);
        writeln!(
            out,
            "<label><input type=\"radio\" name=\"choice\" value=\"{letter}\" required> <b>{letter}</b> {}</label>",
            prose(&facts.fill(&of.text)?)
        )?;
    }
    write!(out, "</fieldset>\n<button>This is my prediction</button>\n</form>\n")?;
    verdicts(playing, out)?;
    write!(out, "<section id=\"answer\" hidden>\n<h2>Look</h2>\n")?;
    writeln!(out, "<p>The run: <code>{}</code></p>", escaped(&playing.command()))?;
    lines(&playing.look(), out)?;
    writeln!(out, "<h2>Why</h2>")?;
    for text in playing.explanation()? {
        writeln!(out, "<p>{}</p>", prose(&text))?;
    }
    writeln!(out, "<ul>")?;
    for Source { reference, says } in &lesson.sources {
        writeln!(out, "<li><cite>{}</cite>: {}</li>", escaped(reference), prose(says))?;
    }
    writeln!(out, "</ul>\n<h2>Change the run</h2>\n<p>Predict again before you press Enter.</p>\n<ul>")?;
    for vary in &lesson.variations {
        let command = format!("arplab learn {}{}", lesson.number, vary.options());
        writeln!(out, "<li>{}<br><code>{}</code></li>", prose(&vary.says), escaped(&command))?;
    }
    writeln!(out, "</ul>\n<h2>Try it yourself</h2>\n<ul>")?;
    for attempt in &lesson.attempts {
        writeln!(out, "<li>{}<br><code>{}</code></li>", prose(&attempt.says), escaped(&attempt.command))?;
    }
    writeln!(out, "</ul>\n<h2>The run as a picture</h2>")?;
    write_body(&lesson.title, &[Shown { name: "simulated", trace: &playing.trace }], out)?;
    write!(out, "</section>\n</main>\n<script>\n{JS}</script>\n</body>\n</html>\n")?;
    Ok(())
}

/// What is said to each choice, hidden until it is made.
fn verdicts(playing: &Playing, out: &mut dyn Write) -> Result<(), WriteError> {
    let right = playing.right()?;
    for choice in 0..playing.lesson.choices.len() {
        let letter = letter(choice);
        let (class, text) = if right.contains(&choice) {
            ("right", "Yes, that is what happens.".to_owned())
        } else {
            ("wrong", format!("No. {}", playing.why_wrong(choice)?.unwrap_or_default()))
        };
        writeln!(
            out,
            "<p class=\"verdict {class}\" data-choice=\"{letter}\" tabindex=\"-1\" role=\"status\" hidden><b>{letter}</b> {}</p>",
            prose(&text)
        )?;
    }
    Ok(())
}

/// Why a page was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The lesson cannot be told.
    #[error(transparent)]
    Lesson(#[from] LessonError),
    /// The place takes nothing.
    #[error(transparent)]
    Io(#[from] io::Error),
}
