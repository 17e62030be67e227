//! The matrix as one HTML page that needs nothing else: no script, no font, no picture.

use super::Matrix;
use super::render::{bound, sign, sign_of, word};
use std::io::{self, Write};

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:2em;color:#222}\
table{border-collapse:collapse}th{font-weight:600;text-align:left}\
thead th.m{writing-mode:vertical-rl;transform:rotate(180deg);padding:4px 2px;font-weight:400;vertical-align:bottom}\
td.c{width:22px;height:22px;text-align:center;border:1px solid #fff;cursor:help}\
td.cures{background:#2e7d32;color:#fff}td.shortens{background:#a5d6a7}td.nothing{background:#eceff1;color:#90a4ae}\
td.breaks{background:#c62828;color:#fff}td.w{padding-left:1em;color:#555}th.s{padding-right:1em;white-space:nowrap}\
dt{font-weight:600;margin-top:.5em}@media(prefers-color-scheme:dark){body{background:#121212;color:#ddd}\
td.c{border-color:#121212}td.nothing{background:#263238}td.shortens{color:#222}td.w{color:#aaa}}";

/// The page. Every text is escaped; a cell's reason is its tooltip.
pub fn write_html(matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>arplab: scenarios and mitigations</title>"
    )?;
    write!(out, "<style>{STYLE}</style></head><body><h1>Scenarios and mitigations</h1>")?;
    intro(matrix, out)?;
    write!(out, "<table><thead><tr><th></th>")?;
    for column in &matrix.columns {
        write!(out, "<th class=\"m\" title=\"{}\">{}</th>", escaped(&column.title), escaped(&column.name))?;
    }
    writeln!(out, "<th>without any</th><th>its own fixes</th></tr></thead><tbody>")?;
    for row in &matrix.rows {
        write!(out, "<tr><th class=\"s\" title=\"{}\">{}", escaped(&row.title), escaped(&row.scenario))?;
        write!(out, "{}</th>", if row.look_alike { " (not ARP)" } else { "" })?;
        for cell in &row.cells {
            let also = cell.also.as_ref().map(|a| format!(" Beside: {a}.")).unwrap_or_default();
            let star = if also.is_empty() { "" } else { "*" };
            let narrowed = cell.schedules.as_ref().is_some_and(|s| s.narrowed);
            write!(
                out,
                "<td class=\"c {}\" title=\"{}: {}.{}\">{}{}{star}</td>",
                word(cell.effect),
                escaped(&cell.mitigation),
                escaped(&cell.reason),
                escaped(&also),
                if narrowed { "'" } else { "" },
                match sign_of(cell) {
                    // the star follows
                    '*' => sign(cell.effect),
                    other => other,
                }
            )?;
        }
        write!(out, "<td class=\"w\">{}</td><td class=\"w\">", escaped(&row.without))?;
        for (at, cell) in row.own.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let (sign, name) = (sign(cell.effect), escaped(&cell.mitigation));
            write!(out, "{comma}<span title=\"{}\">{sign} {name}</span>", escaped(&cell.reason))?;
        }
        writeln!(out, "</td></tr>")?;
    }
    write!(out, "</tbody></table><h2>Mitigations</h2><dl>")?;
    for column in &matrix.columns {
        write!(
            out,
            "<dt>{}</dt><dd>{}: {}",
            escaped(&column.name),
            escaped(&column.title),
            escaped(&column.why)
        )?;
        if !column.unknown_settings.is_empty() {
            write!(
                out,
                " Settings that no release knows: {}.",
                escaped(&column.unknown_settings.join(", "))
            )?;
        }
        writeln!(out, "</dd>")?;
    }
    writeln!(out, "</dl></body></html>")
}

/// What the cells are.
fn intro(matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    match &matrix.settled {
        None => write!(
            out,
            "<p>Each cell is a simulation of the scenario with the mitigation, against the one without. \
             + cures, / shortens, . does nothing, ! breaks something else; a star: it leaves something behind. \
             The reason is in the cell's tooltip.</p>"
        ),
        Some(settling) => write!(
            out,
            "<p>{}</p><p>+ cures, / shortens, . does nothing, ! breaks something else, ~ cures the single runs but \
             not every schedule, ? not settled; ' before a sign: within the narrower bound; a star: it leaves \
             something behind. The reason is in the cell's tooltip.</p>",
            escaped(&bound(settling))
        ),
    }
}

/// Text for HTML, in and outside of quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_texts_stays_text() {
        assert_eq!(escaped("<b a=\"1\" b='2'>&"), "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;");
    }
}
