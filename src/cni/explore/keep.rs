//! A case in a file: to be played again, and kept as a regression test.

use super::{Cut, CutError, CutOptions, CutStepName, PlayedCut, PluginProperty, search};
use crate::cni::{Conflist, Verb};
use crate::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What the files say they are.
const FORMAT: &str = "arplab-cni-case";
/// The version that is written.
const VERSION: u32 = 1;

/// A case with all that is needed to play it again, but the plugins themselves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kept {
    format: String,
    version: u32,
    /// The configuration, as JSON.
    conflist: String,
    /// Where the plugins are.
    bin_dirs: Vec<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<String>,
    /// As JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capability_args: Option<String>,
    ifname: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<Ipv4Addr>,
    timeout: Span,
    hold: Span,
    within: Span,
    /// What was not kept.
    pub lacks: Vec<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    /// The pod is the node's first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    first_pod: bool,
    /// Nothing is done: the plugin fails undisturbed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    undisturbed: bool,
    /// What is done, and to which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<KeptCut>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct KeptCut {
    verb: String,
    turn: usize,
    plugin: String,
    netns: String,
    step: String,
    nth: usize,
    action: String,
}

/// A file that is no case.
#[derive(Debug, thiserror::Error)]
#[error("it is no case of arplab cni explore: {0}")]
pub struct KeepError(String);

fn fail(why: impl fmt::Display) -> KeepError {
    KeepError(why.to_string())
}

/// A case that was played again.
#[derive(Clone, Debug)]
pub struct ReplayedCut {
    /// What came of it.
    pub played: PlayedCut,
    /// It lacks what its file says, and nothing else.
    pub as_recorded: bool,
}

impl Kept {
    /// A case of this configuration.
    #[must_use]
    pub fn new(list: &Conflist, options: &CutOptions, played: &PlayedCut) -> Kept {
        let cni = &options.cni;
        let why = played.outcome.verdicts.values().filter_map(|kept| kept.clone().err());
        Kept {
            format: FORMAT.into(),
            version: VERSION,
            conflist: list.to_json().to_string(),
            bin_dirs: cni.folders.clone(),
            args: cni.args.clone(),
            capability_args: (!cni.capability_args.is_empty())
                .then(|| Value::Object(cni.capability_args.clone()).to_string()),
            ifname: cni.ifname.clone(),
            gateway: cni.gateway,
            timeout: cni.timeout,
            hold: options.hold,
            within: options.within,
            lacks: played.outcome.lacks().map(|property| property.name().to_owned()).collect(),
            why: why.collect(),
            first_pod: played.alone,
            undisturbed: played.cut.is_none(),
            cut: played.cut.as_ref().map(|cut| KeptCut {
                verb: cut.step.verb.word().into(),
                turn: cut.step.turn,
                plugin: cut.step.plugin.clone(),
                netns: cut.step.netns.clone(),
                step: cut.step.words.clone(),
                nth: cut.step.nth,
                action: cut.action.to_string(),
            }),
        }
    }

    /// As a file has it.
    pub fn to_text(&self) -> Result<String, KeepError> {
        let text = toml::to_string(self).map_err(fail)?;
        Ok(format!("# Play it with: arplab cni replay FILE\n{text}"))
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Kept, KeepError> {
        let kept: Kept = toml::from_str(text).map_err(fail)?;
        if kept.format != FORMAT || kept.version != VERSION {
            let Kept { format, version, .. } = kept;
            return Err(fail(format!(
                "format {format:?}, version {version}; this arplab reads {FORMAT:?}, version {VERSION}"
            )));
        }
        if kept.lacks.is_empty() {
            return Err(fail("it is not whole: `lacks` names nothing that was not kept"));
        }
        match (&kept.cut, kept.undisturbed) {
            (None, false) => {
                return Err(fail("it is not whole: neither `[cut]` nor `undisturbed = true` is there"));
            }
            (Some(_), true) => return Err(fail("`undisturbed = true` and `[cut]` contradict each other")),
            _ => {}
        }
        kept.options()?;
        kept.list()?;
        kept.cut()?;
        Ok(kept)
    }

    /// The configuration.
    pub fn list(&self) -> Result<Conflist, KeepError> {
        Conflist::parse("conflist", self.conflist.as_bytes()).map_err(fail)
    }

    /// How it is played. It is held against all properties.
    pub fn options(&self) -> Result<CutOptions, KeepError> {
        let values = match &self.capability_args {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(values)) => values,
                _ => return Err(fail("capability-args: a JSON object is wanted")),
            },
        };
        if let Some(args) = &self.args {
            crate::cni::check_args(args).map_err(fail)?;
        }
        for name in &self.lacks {
            name.parse::<PluginProperty>().map_err(fail)?;
        }
        Ok(CutOptions {
            cni: crate::cni::TraceOptions {
                folders: self.bin_dirs.clone(),
                args: self.args.clone(),
                capability_args: values,
                ifname: self.ifname.clone(),
                timeout: self.timeout,
                patience: self.within,
                gateway: self.gateway,
                check: false,
                del: false,
            },
            hold: self.hold,
            within: self.within,
            properties: PluginProperty::of(&self.list()?),
            budget: None,
            budget_time: None,
            threads: 1,
        })
    }

    /// What is done.
    pub fn cut(&self) -> Result<Option<Cut>, KeepError> {
        let Some(kept) = &self.cut else { return Ok(None) };
        let verbs = [Verb::Add, Verb::Check, Verb::Del, Verb::Gc, Verb::Status];
        let verb = verbs.into_iter().find(|verb| verb.word() == kept.verb);
        let step = CutStepName {
            verb: verb.ok_or_else(|| {
                fail(format!("verb {:?} is none of ADD, CHECK, DEL, GC, STATUS", kept.verb))
            })?,
            turn: kept.turn,
            plugin: kept.plugin.clone(),
            netns: kept.netns.clone(),
            words: kept.step.clone(),
            nth: kept.nth,
            alone: self.first_pod,
        };
        Ok(Some(Cut { step, action: kept.action.parse().map_err(fail)? }))
    }

    /// Plays it again.
    pub fn replay(&self) -> Result<ReplayedCut, ReplayError> {
        let (list, options, cut) = (self.list()?, self.options()?, self.cut()?);
        let played = search::replay(&list, &options, cut.as_ref(), self.first_pod)?;
        let lacks: Vec<_> = played.outcome.lacks().map(|property| property.name().to_owned()).collect();
        Ok(ReplayedCut { as_recorded: lacks == self.lacks, played })
    }

    /// What is done, and where.
    fn what(&self) -> Result<String, KeepError> {
        let first = if self.first_pod { " (a node's first pod)" } else { "" };
        Ok(self.cut()?.map_or_else(|| format!("nothing is done{first}"), |cut| cut.to_string()))
    }

    /// A program that plays it, and fails for as long as a property is not kept.
    pub fn to_test(&self, language: TestLanguage) -> Result<String, KeepError> {
        let (text, what, lacks) = (self.to_text()?, self.what()?, self.lacks.join(", "));
        Ok(match language {
            TestLanguage::Shell => shell(&text, &what, &lacks),
            TestLanguage::Rust => rust(&text, &what, &lacks),
        })
    }
}

/// What a regression test is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TestLanguage {
    /// A script for sh(1).
    Shell,
    /// A file for the `tests` folder of any crate, without dependencies.
    Rust,
}

fn shell(text: &str, what: &str, lacks: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # A regression test: fails for as long as this lacks {lacks}:\n\
         # {what}\n\
         # ARPLAB is the program, if it is not in the PATH.\n\
         set -eu\n\
         case=$(mktemp)\n\
         trap 'rm -f \"$case\"' EXIT\n\
         cat > \"$case\" <<'END-OF-CASE'\n{text}END-OF-CASE\n\
         \"${{ARPLAB:-arplab}}\" cni replay --holds \"$case\"\n"
    )
}

fn rust(text: &str, what: &str, lacks: &str) -> String {
    // as many as no quote in the text is followed by
    let longest = text.split('"').skip(1).map(|rest| rest.len() - rest.trim_start_matches('#').len()).max();
    let hashes = "#".repeat(longest.unwrap_or(0) + 1);
    format!(
        "//! A regression test: fails for as long as this lacks {lacks}:\n\
         //! {what}\n\
         //!\n\
         //! `cargo test` runs it from the `tests` folder of any crate. It wants the program arplab: ARPLAB says where\n\
         //! it is, if it is not in the PATH.\n\
         \n\
         const CASE: &str = r{hashes}\"{text}\"{hashes};\n\
         \n\
         #[test]\n\
         fn the_plugin_keeps_its_properties() {{\n    \
             let file = std::env::temp_dir().join(format!(\"arplab-case-{{}}.toml\", std::process::id()));\n    \
             std::fs::write(&file, CASE).expect(\"a file for the case\");\n    \
             let arplab = std::env::var_os(\"ARPLAB\").unwrap_or_else(|| \"arplab\".into());\n    \
             let played = std::process::Command::new(arplab).args([\"cni\", \"replay\", \"--holds\"]).arg(&file).output();\n    \
             std::fs::remove_file(&file).expect(\"the file is still there\");\n    \
             let played = played.expect(\"arplab is in the PATH, or ARPLAB says where it is\");\n    \
             let told = [played.stdout, played.stderr].concat();\n    \
             assert!(played.status.success(), \"{{}}\\n{{}}\", played.status, String::from_utf8_lossy(&told));\n\
         }}\n"
    )
}

/// A case could not be played again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is none.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The plugins could not be run.
    #[error(transparent)]
    Explore(#[from] CutError),
}
