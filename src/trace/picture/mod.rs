//! Runs as one HTML file that needs no network: lanes for the actors, the wire between node and pod
//! with each frame, the pod's entry, the clients, and the window behind them, all on one time axis.
//!
//! What is drawn is made here, as values of one JSON object in the page; how it is drawn stands in
//! `page.js` and `page.css`. The page looks at the object with a thousand events as with a hundred
//! thousand: what lies in the same few pixels of a lane is one mark with a number.

mod lanes;

use super::event::What;
use super::page::Style;
use super::stream::Trace;
use super::timeline::Timeline;
use super::{headline, observe, summary};
use crate::time::Time;
use lanes::Lanes;
use serde::Serialize;
use std::io::{self, Write};

/// How the page of [`write_html`] looks.
pub const STYLE: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// A run beside others on the page, and what to call it.
pub struct Shown<'a> {
    /// Its heading, such as `simulated` or `--fix host-first`.
    pub name: &'a str,
    /// What happened.
    pub trace: &'a Trace,
}

/// How something is coloured.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Tone {
    Plain,
    Dim,
    Good,
    Bad,
}

/// A moment in a lane.
#[derive(Serialize)]
struct Mark {
    lane: usize,
    t: Time,
    tone: Tone,
    text: String,
    /// A reason, or what else belongs to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    more: String,
    /// Of a frame: it goes from the pod to the node, or the other way.
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
}

/// Something that lasts.
#[derive(Serialize)]
struct Bar {
    lane: usize,
    from: Time,
    to: Time,
    tone: Tone,
    text: String,
}

/// A time in which the pod asks in vain.
#[derive(Serialize)]
struct Window {
    from: Time,
    to: Time,
    family: &'static str,
}

#[derive(Serialize)]
struct Run<'a> {
    name: &'a str,
    headline: String,
    summary: String,
    timeline: String,
    end: Time,
    lanes: Vec<lanes::Heading>,
    windows: Vec<Window>,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
}

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    runs: Vec<Run<'a>>,
}

impl<'a> Run<'a> {
    fn of(shown: &Shown<'a>) -> Run<'a> {
        let trace = shown.trace;
        let end = trace.last().map_or(Time::ZERO, |e| e.t_ns);
        let (lanes, bars, marks) = Lanes::of(trace, end).drawn();
        let families = ["IPv4", "IPv6"].into_iter().zip(Timeline::windows(trace));
        let windows = families.flat_map(|(family, spans)| {
            spans.into_iter().map(move |(from, to)| Window { from, to: to.min(end), family })
        });
        let style = Style { color: false, unicode: true, full: false };
        Run {
            name: shown.name,
            headline: headline(trace),
            summary: summary(trace, &observe(trace)),
            timeline: Timeline::render(trace, style),
            end,
            lanes,
            windows: windows.collect(),
            bars,
            marks,
        }
    }
}

/// Writes a page with these runs below one another, all from time zero on.
pub fn write_html(title: &str, runs: &[Shown<'_>], out: &mut dyn Write) -> io::Result<()> {
    let name = escaped(title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\n<title>{name} - arplab</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{name}</h1>\n<main>\n"
    )?;
    write_body(title, runs, out)?;
    write!(out, "</main>\n</body>\n</html>\n")
}

/// Writes what stands in the page of [`write_html`] below its heading, for a page that has more to say.
/// Such a page has [`STYLE`] in its head.
pub fn write_body(title: &str, runs: &[Shown<'_>], out: &mut dyn Write) -> io::Result<()> {
    let page = Page { title, runs: runs.iter().map(Run::of).collect() };
    // within a script element only `<` could end it
    let data = serde_json::to_string(&page)?.replace('<', "\\u003c");
    write!(out, "<div id=\"runs\"></div>\n<noscript>\n")?;
    for run in &page.runs {
        let (name, text) = (escaped(run.name), escaped(&run.timeline));
        write!(out, "<h2>{name}</h2>\n<pre>{text}</pre>\n")?;
    }
    write!(
        out,
        "</noscript>\n<script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n{JS}</script>\n"
    )
}

/// Text as HTML has it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The title of what was run.
#[must_use]
pub fn title(trace: &Trace) -> String {
    match trace.first().map(|e| &e.what) {
        Some(What::Start(start)) => format!("{}: {}", start.scenario, start.title),
        _ => String::new(),
    }
}
