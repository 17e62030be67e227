//! A replay that could not fail would prove nothing: recordings that were tampered with must be
//! found to differ, each in the right way.

use arplab::vectors::{self, Record, Replayed};

fn records(file: &str) -> Vec<Record> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    vectors::read(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap()
}

/// What is found when every record that `tamper` can change is changed by it.
fn found(file: &str, what: &str, at_least: usize, tamper: impl Fn(&mut Record) -> bool) {
    let mut tampered = 0;
    for mut record in records(file) {
        if !tamper(&mut record) {
            continue;
        }
        tampered += 1;
        let report = vectors::replay(&record);
        let Replayed::Differs(differences) = &report.verdict else { panic!("{what} passes: {report}") };
        assert!(differences.iter().any(|d| d.what == what), "{what}: {report}");
    }
    assert!(tampered >= at_least, "{what}: {tampered}");
}

#[test]
fn an_answer_more_or_less_is_noticed() {
    for file in ["host-decision.jsonl", "malformed.jsonl", "random-states.jsonl"] {
        found(file, "number of answers", 29, |r| {
            let count = r.trials[0].n_replies.unwrap();
            r.trials[0].n_replies = Some(if count == 0 { 1 } else { count - 1 });
            true
        });
    }
}

#[test]
fn a_changed_byte_of_an_answer_is_noticed() {
    for (file, at) in [("host-decision.jsonl", 27), ("ipv6.jsonl", 58)] {
        found(file, "bytes of an answer", 8, |r| {
            let Some(replies) = &mut r.trials[0].replies else { return false };
            let Some(reply) = replies.iter_mut().find(|f| f.hex[12..14] != [8, 0]) else { return false };
            reply.hex[at] ^= 1;
            // an advertisement whose checksum is no longer right is one all the same
            true
        });
    }
}

#[test]
fn another_entry_in_the_end_is_noticed() {
    found("host-decision.jsonl", "sender's entry", 100, |r| {
        let entry = &mut r.trials[0].host_neigh;
        *entry = match entry.take() {
            Some(e) if e.starts_with("STALE") => Some(e.replace("STALE", "REACHABLE")),
            Some(_) => None,
            None => Some("STALE:02:00:0a:41:00:02".into()),
        };
        true
    });
    found("random-states.jsonl", "entry after a frame", 300, |r| {
        r.trials[0].stimulus[0].after = Some("DELAY:02:00:00:00:00:01".into());
        true
    });
    found("ipv6.jsonl", "entry", 30, |r| {
        if !r.params.contains_key("prior") {
            return false;
        }
        r.trials[0].client.insert("state".into(), "NOARP".into());
        true
    });
}

#[test]
fn a_missing_change_of_an_entry_is_noticed() {
    found("host-decision.jsonl", "neighbour entries", 50, |r| {
        let changes = r.trials[0].neigh.as_mut().unwrap();
        changes.pop().is_some()
    });
}

#[test]
fn a_late_answer_is_noticed_and_so_are_delays_from_elsewhere() {
    found("host-decision.jsonl", "time of an answer", 50, |r| {
        let delayed = r.trials.iter().flat_map(|t| t.replies.iter().flatten()).any(|f| f.t > 0.05);
        match r.trials[0].replies.as_mut().and_then(|all| all.last_mut()) {
            Some(reply) if !delayed && reply.hex[12..14] == [8, 6] => {
                reply.t += 0.3;
                true
            }
            _ => false,
        }
    });
    found("proxy-delay.jsonl", "delays", 3, |r| {
        let timed = r.trials.iter().any(|t| !t.samples.is_empty() && !t.stimulus.is_empty());
        r.trials.iter_mut().flat_map(|t| &mut t.samples).for_each(|s| *s += 0.1);
        timed
    });
    found("proxy-delay.jsonl", "times of answers", 2, |r| {
        let burst = r.params.contains_key("qlen") && !r.params.contains_key("delay");
        r.trials.iter_mut().flat_map(|t| &mut t.reply_times).for_each(|s| *s *= 2.0);
        burst
    });
    found("ipv6.jsonl", "first answer", 4, |r| {
        for trial in &mut r.trials {
            if trial.client.contains_key("first_na_s") {
                trial.client.insert("first_na_s".into(), 6.5.into());
            }
        }
        r.params.contains_key("accept")
    });
}

#[test]
fn another_state_is_noticed() {
    // the same frames and answers, but the pod's route is missing from commands and report
    let touched = |r: &mut Record| {
        let answered = r.trials.iter().all(|t| t.n_replies == Some(1));
        let strict = r.config["node"].sysctls["cali0.rp_filter"] == "1";
        let near = r.title.contains("local") || r.name.contains("proxied");
        let commands = r.commands.as_mut().unwrap().get_mut("node").unwrap();
        commands.push("sysctl net/ipv4/conf/all/drop_gratuitous_arp=1".into());
        commands.push("sysctl net/ipv4/conf/cali1x/forwarding=1".into());
        answered && strict && near
    };
    // a command that the recorded kernel took and the model refuses is a difference
    let mut refused = 0;
    for mut record in records("host-decision.jsonl") {
        if touched(&mut record) {
            let verdict = vectors::replay(&record).verdict;
            let Replayed::Differs(found) = &verdict else { panic!("{}: {verdict:?}", record.name) };
            assert_eq!(found[0].what, "a command of the recorder");
            refused += 1;
        }
    }
    assert!(refused > 0);
    // one that means nothing to it leaves nothing to compare
    let mut strange = records("host-decision.jsonl").swap_remove(0);
    strange.commands.as_mut().unwrap().get_mut("node").unwrap().push("frobnicate".into());
    assert!(matches!(
        vectors::replay(&strange).verdict,
        Replayed::NotReplayed(vectors::RecordError::Command(_))
    ));
    found("host-decision.jsonl", "number of answers", 20, |r| {
        let plain = r.trials.iter().all(|t| t.n_replies == Some(1));
        let commands = r.commands.as_mut().unwrap().get_mut("node").unwrap();
        commands.push("nft: table arp, input hook, iifname cali0 drop".into());
        plain && !commands.iter().any(|c| c.contains("bridge"))
    });
}

#[test]
fn what_waits_is_counted() {
    found("proxy-delay.jsonl", "answered", 6, |r| {
        let counted = r.trials[0].client.get("answered").and_then(serde_json::Value::as_u64);
        let Some(answered) = counted else { return false };
        r.trials[0].client.insert("answered".into(), (12 - answered).into());
        r.params.contains_key("what")
    });
    found("proxy-delay.jsonl", "number of answers", 3, |r| {
        let Some(replies) = r.trials[0].counted("replies") else { return false };
        r.trials[0].client.insert("replies".into(), (replies + 5).into());
        r.params.contains_key("qlen")
    });
}
