//! Traces of several pods, told as one: every line says of which pod it is.

use super::report::{self, is_change, line_of, since};
use super::{Invocation, Operation, PluginStep, PluginTrace, PodTrace, TogetherTrace, Verb};
use pcap_file::pcapng::PcapNgWriter;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The timeline of all pods. Without `full`, questions, openings and names in the file system are
/// only counted. For one pod it is [`timeline`](super::timeline).
#[must_use]
pub fn timeline_of_pods(together: &TogetherTrace, full: bool) -> String {
    let mut out = match &together.pods[..] {
        [one] => report::timeline(&one.trace, full),
        pods => of_several(pods, full),
    };
    for hold in &together.idle {
        let _ = writeln!(out, "--hold {hold} held nothing: no such step came this time.");
    }
    out
}

fn of_several(pods: &[PodTrace], full: bool) -> String {
    let mut out = String::new();
    let mut left_out = 0;
    let width = pods.iter().map(|pod| pod.pod.len()).max().unwrap_or_default();
    for verb in [Verb::Add, Verb::Check, Verb::Del] {
        let of_verb = pods.iter().flat_map(|pod| {
            let operations = pod.trace.operations.iter().filter(move |it| it.verb == verb);
            operations.map(move |it| (pod, it))
        });
        let of_verb: Vec<(&PodTrace, &Operation)> = of_verb.collect();
        if of_verb.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{} of {} pods at once", verb.word(), of_verb.len());
        let mut lines = Vec::new();
        for (pod, invocation) in
            of_verb.iter().flat_map(|(pod, it)| it.invocations.iter().map(move |i| (pod, i)))
        {
            let shown = invocation.steps.iter().filter(|step| full || is_change(step) || step.held);
            let before = lines.len();
            lines.extend(shown.map(|step| (step.record.request.at_ns, line(pod, step, width))));
            left_out += invocation.steps.len() - (lines.len() - before);
            lines.push((invocation.ended_ns, ending(pod, verb, invocation, width)));
        }
        lines.sort_by_key(|(at_ns, _)| *at_ns);
        for (_, line) in lines {
            let _ = writeln!(out, "{line}");
        }
    }
    for pod in pods {
        for sentence in report::gateway_words(&pod.trace).lines() {
            let _ = writeln!(out, "{}: {sentence}", pod.pod);
        }
    }
    out.push_str(&report::left_out_words(left_out));
    out
}

fn line(pod: &PodTrace, step: &PluginStep, width: usize) -> String {
    line_of(&pod.trace, step, Some((&pod.pod, width)))
}

fn ending(pod: &PodTrace, verb: Verb, invocation: &Invocation, width: usize) -> String {
    let words = report::ending_words(verb, invocation, true);
    format!("{:>10} ms  {:<width$}  {words}", since(invocation.ended_ns, pod.trace.began_ns), pod.pod)
}

/// As [`json`](super::json), with the pod's name in each line where there are several; in the order
/// of time.
#[must_use]
pub fn json_of_pods(together: &TogetherTrace) -> Vec<Value> {
    let mut lines: Vec<Value> = match &together.pods[..] {
        [one] => report::json(&one.trace),
        pods => {
            let named = pods.iter().flat_map(|pod| {
                report::json(&pod.trace).into_iter().map(|mut line| {
                    report::merge(&mut line, json!({ "pod": pod.pod }));
                    line
                })
            });
            let mut lines: Vec<Value> = named.collect();
            // those without a time are the last word on each pod's gateway
            lines.sort_by_key(|line| line["at_us"].as_i64().unwrap_or(i64::MAX));
            lines
        }
    };
    lines.extend(together.idle.iter().map(|hold| json!({ "event": "idle-hold", "hold": hold.to_string() })));
    lines
}

/// What passed the pods' interfaces, as pcapng with an interface for each pod; a step is a comment on
/// the frame that follows it.
pub fn pcapng_of_pods(together: &TogetherTrace, ifname: &str) -> Result<Vec<u8>, pcap_file::PcapError> {
    let pods = match &together.pods[..] {
        [one] => return report::pcapng(&one.trace, ifname),
        pods => pods,
    };
    let mut writer = report::section()?;
    for pod in pods {
        report::interface(&mut writer, &format!("{}/{ifname}", pod.pod))?;
    }
    let steps = pods.iter().flat_map(|pod| changes(&pod.trace).map(move |step| (pod, step)));
    let mut steps: Vec<(&PodTrace, &PluginStep)> = steps.collect();
    steps.sort_by_key(|(_, step)| step.record.request.at_ns);
    let frames = pods.iter().enumerate();
    let frames = frames.flat_map(|(at, pod)| pod.trace.gateway.frames.iter().map(move |it| (at, pod, it)));
    let mut frames: Vec<_> = frames.collect();
    frames.sort_by_key(|(_, _, frame)| frame.at_ns);
    write_all(&mut writer, &frames, &steps)?;
    Ok(writer.into_inner())
}

fn write_all(
    writer: &mut PcapNgWriter<Vec<u8>>,
    frames: &[(usize, &PodTrace, &super::gateway::PodFrame)],
    steps: &[(&PodTrace, &PluginStep)],
) -> Result<(), pcap_file::PcapError> {
    let mut steps = steps.iter().peekable();
    for (at, pod, frame) in frames {
        let mut comments = Vec::new();
        while let Some((of, step)) = steps.next_if(|(_, step)| step.record.request.at_ns <= frame.at_ns) {
            comments.push(line(of, step, 0).trim_start().to_owned());
        }
        let interface = u32::try_from(*at).unwrap_or(u32::MAX);
        report::write_packet(writer, &pod.trace, frame, (interface, comments))?;
    }
    Ok(())
}

fn changes(trace: &PluginTrace) -> impl Iterator<Item = &PluginStep> {
    let invocations = trace.operations.iter().flat_map(|operation| &operation.invocations);
    invocations.flat_map(|it| &it.steps).filter(|step| is_change(step))
}
