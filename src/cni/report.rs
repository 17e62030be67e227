//! A trace as text, as JSON and as a capture.

use super::execution;
use super::gateway::PodFrame;
use super::{Invocation, Operation, PluginStep, PluginTrace, Verb};
use crate::addr::Mac;
use crate::trace::many;
use netns_lab::supervise::{Answer, Fate, Kind};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{PcapNgBlock, blocks::section_header::SectionHeaderBlock};
use pcap_file::{DataLink, PcapError};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Milliseconds with three places, from nanoseconds.
pub(super) struct Ms(i64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.unsigned_abs() / 1000;
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{}.{:03}", us / 1000, us % 1000))
    }
}

pub(super) fn since(at_ns: u64, from_ns: u64) -> Ms {
    Ms(at_ns.cast_signed() - from_ns.cast_signed())
}

/// The timeline. Without `full`, questions, openings and names in the file system are only
/// counted.
#[must_use]
pub fn timeline(trace: &PluginTrace, full: bool) -> String {
    let mut out = String::new();
    let mut left_out = 0;
    for operation in &trace.operations {
        left_out += tell_operation(&mut out, trace, operation, full);
    }
    out.push_str(&gateway_words(trace));
    out.push_str(&left_out_words(left_out));
    out
}

/// How many steps the short timeline does not show, if there are any.
pub(super) fn left_out_words(left_out: usize) -> String {
    if left_out == 0 {
        return String::new();
    }
    if left_out == 1 {
        return "1 question, opening or change of a file is left out: --full shows it.\n".into();
    }
    format!("{left_out} questions, openings and changes of files are left out: --full shows them.\n")
}

fn tell_operation(out: &mut String, trace: &PluginTrace, operation: &Operation, full: bool) -> usize {
    let mut left_out = 0;
    for invocation in &operation.invocations {
        let _ = writeln!(out, "{} {}", operation.verb.word(), invocation.plugin);
        for step in &invocation.steps {
            if full || is_change(step) || step.held {
                let _ = writeln!(out, "{}", line(trace, step));
            } else {
                left_out += 1;
            }
        }
        let _ = writeln!(out, "{}", ending(trace, operation.verb, invocation));
    }
    left_out
}

/// Whether a step is shown in the short timeline: what changes the network, or is another program.
pub(super) fn is_change(step: &PluginStep) -> bool {
    let dull =
        matches!(step.record.request.kind, Kind::OpenSysctl { .. } | Kind::Open { .. } | Kind::Name { .. });
    !(dull || step.record.request.is_question())
}

fn line(trace: &PluginTrace, step: &PluginStep) -> String {
    line_of(trace, step, None)
}

/// A step; of one of several pods with its name, in a column of that width.
pub(super) fn line_of(trace: &PluginTrace, step: &PluginStep, pod: Option<(&str, usize)>) -> String {
    let request = &step.record.request;
    let at = since(request.at_ns, trace.began_ns);
    let netns = &step.place.netns;
    let answer = match (step.record.fate, &step.record.answer) {
        (Fate::LetGo, Answer::Unknown) => String::new(),
        (Fate::LetGo, answer) => format!("  -> {answer}"),
        (fate, _) => format!("  -> {}", fate_words(fate)),
    };
    let pod = pod.map_or_else(String::new, |(pod, width)| format!("{pod:<width$}  "));
    let held = if step.held {
        format!("  (held {} ms)", since(step.record.decided_ns, request.at_ns))
    } else {
        String::new()
    };
    format!("{at:>10} ms  {pod}{netns:<5} {:<15} {request}{held}{answer}", request.program)
}

fn fate_words(fate: Fate) -> String {
    match fate {
        Fate::LetGo => "let go".into(),
        Fate::Failed(errno) => format!("made to fail: {errno}"),
        Fate::KilledBefore => "killed before".into(),
        Fate::KilledAfter => "killed after".into(),
        Fate::Gone => "ended while it waited".into(),
        Fate::Waiting => "waits".into(),
    }
}

fn ending(trace: &PluginTrace, verb: Verb, invocation: &Invocation) -> String {
    format!(
        "{:>10} ms  {}",
        since(invocation.ended_ns, trace.began_ns),
        ending_words(verb, invocation, false)
    )
}

/// How a plugin ended; with its name if that is not said elsewhere.
pub(super) fn ending_words(verb: Verb, invocation: &Invocation, named: bool) -> String {
    let took = since(invocation.ended_ns, invocation.began_ns);
    let of = if named { format!(" of {}", invocation.plugin) } else { String::new() };
    let mut words = match &invocation.answer {
        Ok(Some(result)) => format!("success, {}", result_words(result)),
        Ok(None) => "success".into(),
        Err(fault) => format!("FAILED: {fault}"),
    };
    if invocation.left_behind {
        words.push_str("; it left processes behind, which were killed");
    }
    format!("{}{of} returned after {took} ms: {words}", verb.word())
}

fn result_words(result: &Value) -> String {
    let addresses = execution::addresses_of(result);
    let gateway = execution::gateway_of(result).map_or_else(|| "none".into(), |it| it.to_string());
    if addresses.is_empty() {
        return "no address".into();
    }
    format!("address {}, gateway {gateway}", addresses.join(", "))
}

/// When the gateway answered, in one sentence or two.
pub(super) fn gateway_words(trace: &PluginTrace) -> String {
    let report = &trace.gateway;
    let Some(gateway) = report.gateway else {
        return "The pod got no gateway: nobody was asked for.\n".into();
    };
    let Some(asked) = report.first_asked_ns else {
        return format!(
            "Gateway {gateway}: the pod never had an address and an interface that is up to ask with.\n"
        );
    };
    let asked_at = since(asked, trace.began_ns);
    let add = trace.operations.first();
    let Some(answered) = report.first_answer_ns else {
        let asked = report.asked_before;
        let asked = many(asked, "time");
        return format!("Gateway {gateway}: silent. The pod asked {asked}, from {asked_at} ms on.\n");
    };
    let at = since(answered, trace.began_ns);
    let mac = report.mac.unwrap_or(Mac::ZERO);
    let mut words = format!(
        "Gateway {gateway}: answers from {at} ms on (by {mac}); the pod could ask from {asked_at} ms on, and {} \
         not answered.\n",
        match report.asked_before.saturating_sub(1) {
            1 => "1 question was".to_owned(),
            n => format!("{n} questions were"),
        }
    );
    if let Some(add) = add.filter(|add| add.is_well()) {
        words.push_str(&beside_add(report, answered, add.ended_ns()));
    }
    words
}

/// Whether the gateway answered before ADD returned, as far as the questions can tell.
fn beside_add(report: &super::GatewayReport, answered: u64, returned: u64) -> String {
    if answered <= returned {
        return format!("That is {} ms before ADD returned.\n", since(returned, answered));
    }
    match report.last_silent_ns.filter(|silent| *silent >= returned) {
        Some(silent) => {
            let (silent, after) = (since(silent, returned), since(answered, returned));
            format!(
                "That is {after} ms AFTER ADD returned, and {silent} ms after it a question was not answered: a \
                 container can meet a silent gateway.\n"
            )
        }
        None => {
            "No question fell between that and the return of ADD, so which came first is not known.\n".into()
        }
    }
}

/// One JSON object a step, then one a plugin's end, then one of the gateway.
#[must_use]
pub fn json(trace: &PluginTrace) -> Vec<Value> {
    let mut lines = Vec::new();
    let us = |at_ns: u64| (at_ns.cast_signed() - trace.began_ns.cast_signed()) / 1000;
    for operation in &trace.operations {
        for invocation in &operation.invocations {
            let head = |event: &str| json!({ "event": event, "verb": operation.verb.word(), "plugin": invocation.plugin });
            for step in &invocation.steps {
                let mut line = head("step");
                merge(&mut line, step_json(step, us));
                lines.push(line);
            }
            let mut line = head("returned");
            merge(
                &mut line,
                json!({
                    "at_us": us(invocation.ended_ns),
                    "took_us": invocation.ended_ns.saturating_sub(invocation.began_ns) / 1000,
                    "left_behind": invocation.left_behind,
                    "error": invocation.answer.as_ref().err().map(ToString::to_string),
                    "result": invocation.answer.as_ref().ok(),
                    "stderr": invocation.stderr,
                }),
            );
            lines.push(line);
        }
    }
    let report = &trace.gateway;
    lines.push(json!({
        "event": "gateway",
        "gateway": report.gateway,
        "first_asked_us": report.first_asked_ns.map(us),
        "last_silent_us": report.last_silent_ns.map(us),
        "first_answer_us": report.first_answer_ns.map(us),
        "mac": report.mac.map(|mac| mac.to_string()),
        "asked_before": report.asked_before,
        "asked_after": report.asked_after,
        "answers": report.answers,
        "add_returned_us": trace.operations.first().map(|add| us(add.ended_ns())),
    }));
    lines
}

fn step_json(step: &PluginStep, us: impl Fn(u64) -> i64) -> Value {
    let request = &step.record.request;
    let answer = match &step.record.answer {
        Answer::Done => json!("ok"),
        Answer::Unknown => Value::Null,
        Answer::Refused { errno, .. } => json!(errno.name()),
    };
    let mut line = json!({
        "at_us": us(request.at_ns),
        "decided_us": us(step.record.decided_ns),
        "number": request.number,
        "pid": request.pid,
        "tid": request.tid,
        "program": request.program,
        "netns": step.place.netns,
        "thread_netns": step.place.thread,
        "kind": kind_name(&request.kind),
        "question": request.is_question(),
        "request": request.to_string(),
        "messages": messages_json(&request.kind),
        "answer": answer,
        "kernel_says": match &step.record.answer { Answer::Refused { kernel_says, .. } => kernel_says.clone(), _ => None },
    });
    if step.held {
        let held_us = step.record.decided_ns.saturating_sub(request.at_ns) / 1000;
        merge(&mut line, json!({ "held_us": held_us }));
    }
    line
}

fn messages_json(kind: &Kind) -> Value {
    let Kind::Netlink { messages, .. } = kind else { return Value::Null };
    let lines = messages.iter().map(|it| {
        json!({ "type": it.kind, "flags": it.flags, "sequence": it.sequence, "length": it.length, "words": it.words })
    });
    lines.collect()
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Netlink { .. } => "netlink",
        Kind::Sysctl { .. } => "sysctl",
        Kind::OpenSysctl { .. } => "open-sysctl",
        Kind::Open { .. } => "open",
        Kind::Name { .. } => "name",
        Kind::Enter { .. } => "setns",
        Kind::NewNamespaces { .. } => "new-namespaces",
        Kind::Exec { .. } => "exec",
        Kind::DeviceIoctl { .. } => "ioctl",
        Kind::ReplaceTable { .. } => "replace-table",
        Kind::Other { .. } => "other",
        Kind::Foreign { .. } => "foreign",
    }
}

pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// What passed the pod's interface, as pcapng; a step is a comment on the frame that follows it.
pub fn pcapng(trace: &PluginTrace, ifname: &str) -> Result<Vec<u8>, PcapError> {
    let mut writer = section()?;
    interface(&mut writer, ifname)?;
    let invocations = trace.operations.iter().flat_map(|operation| &operation.invocations);
    let mut steps = invocations.flat_map(|it| &it.steps).filter(|step| is_change(step)).peekable();
    for frame in &trace.gateway.frames {
        let mut comments = Vec::new();
        while let Some(step) = steps.next_if(|step| step.record.request.at_ns <= frame.at_ns) {
            comments.push(line(trace, step).trim_start().to_owned());
        }
        write_packet(&mut writer, trace, frame, (0, comments))?;
    }
    Ok(writer.into_inner())
}

/// A capture without interfaces and frames.
pub(super) fn section() -> Result<PcapNgWriter<Vec<u8>>, PcapError> {
    PcapNgWriter::with_section_header(Vec::new(), SectionHeaderBlock::default())
}

/// The next interface of a capture; they are counted from 0.
pub(super) fn interface(writer: &mut PcapNgWriter<Vec<u8>>, name: &str) -> Result<(), PcapError> {
    let interface = InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0x0004_0000,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    };
    writer.write_block(&interface.into_block()).map(|_| ())
}

/// A frame that passed an interface, with comments.
pub(super) fn write_packet(
    writer: &mut PcapNgWriter<Vec<u8>>,
    trace: &PluginTrace,
    frame: &PodFrame,
    (interface_id, comments): (u32, Vec<String>),
) -> Result<(), PcapError> {
    let comments = comments.into_iter().map(|it| EnhancedPacketOption::Comment(Cow::Owned(it)));
    let packet = EnhancedPacketBlock {
        interface_id,
        timestamp: Duration::from_nanos(frame.at_ns.saturating_sub(trace.began_ns)),
        original_len: frame.bytes.len() as u32,
        data: Cow::Borrowed(&frame.bytes),
        options: comments.collect(),
    };
    writer.write_block(&packet.into_block()).map(|_| ())
}
