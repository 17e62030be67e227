//! Rules of the old iptables (`xtables`), which are no part of nf_tables.
//!
//! The kernel gives a whole table at a time, in the machine's own form; iptables-save(8) of the old kind puts it
//! into words and iptables-restore(8) back. A namespace without such tables needs neither.

use crate::cni::{PROGRAM_PATH, PluginStage};
use crate::time::Span;
use netns_lab::supervise::watch;
use netns_lab::{ExecError, Netns};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What iptables may take to put a table back.
const RESTORED_WITHIN: Span = Span::from_secs(10);

/// Rules could not be read or put back.
#[derive(Debug, thiserror::Error)]
pub(super) enum XtablesError {
    /// Nothing here reads them.
    #[error(
        "there are rules of the old iptables (table {table}), and no program {names} in {PROGRAM_PATH} that reads \
         them; install iptables with its legacy programs"
    )]
    NoProgram {
        /// The first of the tables.
        table: String,
        /// What was looked for.
        names: String,
    },
    /// It did not do it.
    #[error("{program} {why}")]
    Program {
        /// Its path.
        program: String,
        /// How it ended, or what it said.
        why: String,
    },
    /// The namespace's thread could not do it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// A table's chains and rules, each as iptables-save has it, but for counters of packets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct XtTable(Vec<String>);

/// Which iptables.
fn family(v6: bool) -> &'static str {
    if v6 { "ip6tables" } else { "iptables" }
}

/// A program of iptables by either of its names.
fn find(v6: bool, end: &str) -> Result<PathBuf, String> {
    let names = [format!("{}-legacy-{end}", family(v6)), format!("{}-{end}", family(v6))];
    let all =
        names.iter().flat_map(|name| PROGRAM_PATH.split(':').map(move |folder| Path::new(folder).join(name)));
    all.into_iter().find(|path| path.is_file()).ok_or_else(|| names.join(" or "))
}

/// All tables of one family, by name.
pub(super) fn tables(netns: &Netns, v6: bool) -> Result<BTreeMap<String, XtTable>, XtablesError> {
    let file = format!("/proc/thread-self/net/{}_tables_names", if v6 { "ip6" } else { "ip" });
    let names = netns.exec(|| std::fs::read_to_string(file))?.unwrap_or_default();
    let Some(first) = names.lines().next() else { return Ok(BTreeMap::new()) };
    let program =
        find(v6, "save").map_err(|names| XtablesError::NoProgram { table: first.to_owned(), names })?;
    let failed = |why: String| XtablesError::Program { program: program.display().to_string(), why };
    // asked about tables that are there only: a question about another would make it
    let out = netns.exec(|| Command::new(&program).output())?.map_err(|e| failed(e.to_string()))?;
    if !out.status.success() {
        return Err(failed(format!("ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr))));
    }
    let found = parse(&String::from_utf8_lossy(&out.stdout));
    // the new kind has the same name, and knows nothing of these
    match names.lines().find(|name| !found.contains_key(*name)) {
        None => Ok(found),
        Some(name) => Err(failed(format!("does not show the table {name}, so it is not of the old kind"))),
    }
}

fn parse(saved: &str) -> BTreeMap<String, XtTable> {
    let mut found: BTreeMap<String, XtTable> = BTreeMap::new();
    let mut table = None;
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = Some(found.entry(name.to_owned()).or_default());
        } else if let Some(XtTable(lines)) = &mut table {
            match line.strip_prefix(':') {
                Some(_) => lines.push(line.split(" [").next().unwrap_or(line).to_owned()),
                None if line.starts_with("-A ") => lines.push(line.to_owned()),
                None => {}
            }
        }
    }
    found
}

/// The chain that a line makes.
fn chain_of(line: &str) -> Option<&str> {
    line.strip_prefix(':')?.split(' ').next()
}

/// Whether a rule is in that chain, or leads there.
fn needs(rule: &str, chain: &str) -> bool {
    let words: Vec<&str> = outside_quotes(rule).collect();
    words.windows(2).any(|pair| matches!(pair[0], "-A" | "-j" | "-g") && pair[1] == chain)
}

/// The words of a rule; what is in quotes are none.
fn outside_quotes(rule: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    rule.split(' ').filter(move |word| {
        let was_inside = inside;
        // a backslash before a quote makes it a part of the text
        let quotes = word.replace("\\\"", "").matches('"').count();
        inside ^= quotes % 2 == 1;
        !was_inside && quotes == 0
    })
}

impl XtTable {
    /// As iptables(8) would make each of them; of several that are the same each has a number.
    pub(super) fn commands(&self, v6: bool, table: &str) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let numbered = self.0.iter().map(|line| {
            let command = command(v6, table, line, ["-P", "-N", "-A"]);
            let count = seen.entry(line).or_insert(0);
            *count += 1;
            if *count > 1 { format!("{command} (#{count})") } else { command }
        });
        numbered.collect()
    }

    /// What is here and was not there.
    pub(super) fn since(&self, before: &XtTable) -> XtTable {
        let mut old: Vec<&String> = before.0.iter().collect();
        let mut new = self.0.clone();
        new.retain(|line| match old.iter().position(|it| *it == line) {
            Some(place) => {
                old.swap_remove(place);
                false
            }
            None => true,
        });
        XtTable(new)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without those lines, the rules of chains among them, and the rules that lead to such a chain, and with
    /// policies as they were `before`; and what went, as iptables(8) would do it.
    fn without(&self, made: &XtTable, before: &XtTable, v6: bool, table: &str) -> (XtTable, Vec<String>) {
        let mut left = made.0.clone();
        let is_made = |line: &String| line.ends_with(" -");
        let chains: Vec<&str> =
            made.0.iter().filter(|line| is_made(line)).filter_map(|line| chain_of(line)).collect();
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for line in &self.0 {
            let named = left.iter().position(|it| it == line).map(|place| left.swap_remove(place)).is_some();
            match chain_of(line).filter(|_| !is_made(line)) {
                Some(chain) if named => {
                    let old = before.0.iter().find(|it| chain_of(it) == Some(chain));
                    let old = old.cloned().unwrap_or_else(|| format!(":{chain} ACCEPT"));
                    kept.push(old.clone());
                    gone.push(old);
                }
                None if named || chains.iter().any(|chain| needs(line, chain)) => gone.push(line.clone()),
                _ => kept.push(line.clone()),
            }
        }
        // rules before the chains that they are in or lead to
        gone.sort_by_key(|line| chain_of(line).is_some());
        let words = gone.iter().map(|line| command(v6, table, line, ["-P", "-X", "-D"]));
        (XtTable(kept), words.collect())
    }

    /// Takes what a step made out of the table, which was `before`, and says how iptables(8) would do it.
    pub(super) fn take_out(
        &self,
        before: &XtTable,
        stage: &PluginStage,
        netns: &Netns,
        v6: bool,
        table: &str,
    ) -> Result<String, XtablesError> {
        let there = tables(netns, v6)?.remove(table).unwrap_or_default();
        let (kept, words) = there.without(self, before, v6, table);
        let program = find(v6, "restore")
            .map_err(|names| XtablesError::NoProgram { table: table.to_owned(), names })?;
        let failed = |why: String| XtablesError::Program { program: program.display().to_string(), why };
        let lines: Vec<String> = kept.0.iter().map(|line| line_to_restore(line)).collect();
        let input = format!("*{table}\n{}COMMIT\n", lines.concat());
        // where the plugins are: it takes the same lock
        let command = stage.command(&program, RESTORED_WITHIN).and_then(|it| it.input(input).netns(netns));
        let outcome = command.map_err(|e| failed(e.to_string()))?.run(&mut watch());
        let outcome = outcome.map_err(|e| failed(e.to_string()))?;
        if outcome.success() {
            return Ok(words.join("; "));
        }
        Err(failed(format!("failed: {}", String::from_utf8_lossy(&outcome.stderr.bytes))))
    }
}

fn line_to_restore(line: &str) -> String {
    if chain_of(line).is_some() { format!("{line} [0:0]\n") } else { format!("{line}\n") }
}

/// A line as iptables(8) takes it; the verbs are those for a policy, a chain and a rule.
fn command(v6: bool, table: &str, line: &str, verbs: [&str; 3]) -> String {
    let [policy, chain, rule] = verbs;
    let what = match line.strip_prefix(':') {
        None => format!("{rule} {}", line.trim_start_matches("-A ")),
        Some(made) => match made.strip_suffix(" -") {
            Some(name) => format!("{chain} {name}"),
            None => format!("{policy} {made}"),
        },
    };
    format!("{}-legacy -t {table} {what}", family(v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# Generated by iptables-save\n*nat\n:POSTROUTING ACCEPT [12:345]\n:CNI-x - [0:0]\n\
        -A POSTROUTING -s 10.0.0.1/32 -m comment --comment \"to -j CNI-y \\\" now\" -j CNI-x\n\
        -A POSTROUTING -j ACCEPT\n-A POSTROUTING -j ACCEPT\n-A CNI-x -j MASQUERADE\nCOMMIT\n*filter\n\
        :INPUT DROP [0:0]\nCOMMIT\n";

    #[test]
    fn tables_are_read_and_told() {
        let found = parse(SAVED);
        assert_eq!(found["filter"].commands(true, "filter"), ["ip6tables-legacy -t filter -P INPUT DROP"]);
        let commands = found["nat"].commands(false, "nat");
        assert_eq!(commands[1], "iptables-legacy -t nat -N CNI-x");
        assert_eq!(commands[4], "iptables-legacy -t nat -A POSTROUTING -j ACCEPT (#2)");
        assert_eq!(commands.len(), 6);
        // one of two that are the same is new
        let one = XtTable(vec!["-A POSTROUTING -j ACCEPT".into()]);
        assert_eq!(XtTable(vec![one.0[0].clone(); 2]).since(&one), one);
        assert!(one.since(&XtTable(vec![one.0[0].clone(); 2])).is_empty());
    }

    #[test]
    fn what_a_chain_has_and_what_leads_to_it_goes_first() {
        let none = XtTable::default();
        let nat = parse(SAVED).remove("nat").expect("a table");
        let (kept, gone) = nat.without(&XtTable(vec![":CNI-x -".into()]), &none, false, "nat");
        assert_eq!(kept.0, [":POSTROUTING ACCEPT", "-A POSTROUTING -j ACCEPT", "-A POSTROUTING -j ACCEPT"]);
        assert!(gone[0].starts_with("iptables-legacy -t nat -D POSTROUTING -s 10.0.0.1/32 "), "{gone:?}");
        assert_eq!(
            gone[1..],
            ["iptables-legacy -t nat -D CNI-x -j MASQUERADE", "iptables-legacy -t nat -X CNI-x"]
        );
        // what is said in a comment leads nowhere
        let (kept, gone) = nat.without(&XtTable(vec![":CNI-y -".into()]), &none, false, "nat");
        assert_eq!((kept, gone.len()), (nat.clone(), 0));
        let one = XtTable(vec!["-A POSTROUTING -j ACCEPT".into()]);
        assert_eq!(nat.without(&one, &none, false, "nat").0.0.len(), nat.0.len() - 1);
        let (was, is) = (XtTable(vec![":INPUT ACCEPT".into()]), XtTable(vec![":INPUT DROP".into()]));
        let (kept, gone) = is.without(&is.since(&was), &was, false, "filter");
        assert_eq!((kept, gone), (was, vec!["iptables-legacy -t filter -P INPUT ACCEPT".to_owned()]));
    }
}
