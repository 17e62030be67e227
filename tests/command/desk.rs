//! The front desk: names with slips in them, and issues as people paste them.

use crate::run::{arplab, seen, text};

/// What is said of bad input.
fn refused(args: &[&str]) -> String {
    let output = arplab(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr)
}

#[test]
fn a_slip_in_a_name_is_answered_with_the_name() {
    let cases: [(&[&str], &str); 16] = [
        (&["run", "late-respnder"], "late-responder"),
        (&["show", "Late-Responder"], "late-responder"),
        (&["list", "udev-sysctl-minte"], "udev-sysctl-minute"),
        (&["compare", "late-responer"], "late-responder"),
        (&["explore", "proxy-dealy"], "proxy-delay"),
        (&["matrix", "proxy-dely"], "proxy-delay"),
        (&["matrix", "--why", "proxy-delay", "default-rout"], "default-route"),
        (&["probe", "late-respnder", "--at", "5s"], "late-responder"),
        // an alias, and an issue with two digits swapped
        (&["run", "felix-onyl"], "felix-only"),
        (&["run", "6889"], "8689"),
        (&["run", "8689", "--fix", "plugin-configure-host"], "plugin-configures-host"),
        (&["run", "8689", "--hold", "felix.iface-sean=5s"], "felix.iface-seen"),
        (&["run", "8689", "--hold", "iface-seen=5s"], "felix.iface-seen"),
        (&["run", "8689", "--with", "static-gateway-entri"], "static-gateway-entry"),
        (&["explore", "8689", "--property", "first-packet-withn=1s"], "first-packet-within"),
        (&["man", "identfy"], "identify"),
    ];
    for (args, want) in cases {
        let said = refused(args);
        let first = said.lines().next().expect("a line");
        assert!(first.contains(&format!("(did you mean {want}")), "{args:?}: {said}");
    }
}

#[test]
fn nothing_far_off_is_offered() {
    let cases: [&[&str]; 6] = [
        &["run", "nosuch"],
        &["run", "8688"],
        &["run", "8689", "--fix", "reboot"],
        &["run", "8689", "--with", "reboot"],
        &["run", "8689", "--hold", "kubernetes.start=5s"],
        &["man", "reboot"],
    ];
    for args in cases {
        assert!(!refused(args).contains("did you mean"), "{args:?}");
    }
}

/// A fix that is a mitigation of nearly that name is asked for with the other option.
#[test]
fn a_slip_across_two_options_is_answered_with_both() {
    let said = refused(&["run", "8689", "--fix", "static-gateway-entri"]);
    assert!(said.contains("did you mean --with static-gateway-entry?"), "{said}");
}

#[test]
fn a_file_with_a_slip_is_answered_in_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.toml");
    let file = path.to_str().expect("UTF-8");
    let head = "id = \"mine\"\ntitle = \"Mine\"\n";
    let own = "[[step]]\nid = \"operator.repair\"\ntitle = \"t\"\n";
    for (rest, want) in [
        ("[[hold]]\nstep = \"felix.iface-sean\"\nfor = \"5s\"\n", "felix.iface-seen"),
        ("[[hold]]\nstep = \"felix.apply\"\nuntil = \"cni.add-retrun\"\n", "cni.add-return"),
        (
            "[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\nafter = \"operator.repare\"\n",
            "operator.repair",
        ),
        ("[[step]]\nid = \"operator.b\"\ntitle = \"b\"\nafter = \"operator.repir\"\n", "operator.repair"),
        ("[expect]\nreasons = [\"rp-filter-no-rout\"]\n", "rp-filter-no-route"),
        ("[expect]\nentry = \"REACHABEL\"\n", "REACHABLE"),
    ] {
        std::fs::write(&path, format!("{head}{own}{rest}")).expect("written");
        let said = refused(&["run", file]);
        assert!(said.contains(&format!("\" (did you mean {want}?)\n")), "{rest}: {said}");
    }
    std::fs::write(&path, format!("{head}{own}[[hold]]\nstep = \"felix.sleep\"\nfor = \"5s\"\n"))
        .expect("written");
    let said = refused(&["run", file]);
    assert!(said.contains("there is no step") && !said.contains("did you mean"), "{said}");
}

#[test]
fn a_pasted_address_leads_where_its_number_does() {
    let plain = seen(&["show", "8689"]);
    for pasted in [
        "https://github.com/projectcalico/calico/issues/8689",
        "http://www.github.com/projectcalico/calico/issues/8689/",
        "https://github.com/projectcalico/calico/issues/8689#issuecomment-2065411234",
        "https://github.com/projectcalico/calico/issues/8689?page=2",
        "https://github.com/projectcalico/calico/pull/8689/files",
        "github.com/ProjectCalico/calico/issues/8689",
        "calico#8689",
    ] {
        assert_eq!(seen(&["show", pasted]), plain, "{pasted}");
    }
    let pasted = "https://github.com/projectcalico/calico/issues/8689#issuecomment-1";
    assert_eq!(seen(&["list", pasted]), seen(&["list", "8689"]));
    for command in [
        &["run", "8689", "--with", "default-route"][..],
        &["probe", "8689", "--only", "model"],
        &["matrix", "8689", "--with", "default-route"],
        &["explore", "8689", "--no-holds", "--late", "0", "--detours", "0"],
    ] {
        let mut with: Vec<&str> = command.to_vec();
        with[1] = pasted;
        // a search tells how long it took
        let without_time = |said: String| said.split(" in ").next().unwrap_or_default().to_owned();
        assert_eq!(without_time(seen(&with)), without_time(seen(command)), "{command:?}");
    }
}

#[test]
fn an_issue_of_another_project_leads_to_what_cites_it() {
    let ids = |word: &str| -> Vec<String> {
        let lines = text(&arplab(&["list", word, "--json"]).stdout);
        let id = |l: &str| serde_json::from_str::<serde_json::Value>(l).expect("JSON")["id"].to_string();
        lines.lines().map(id).collect()
    };
    for (word, want) in [
        ("https://github.com/moby/moby/issues/49653", "default-route-on-cali"),
        ("https://github.com/systemd/systemd/issues/41350#issuecomment-1", "main-rule-gone"),
        ("cloudnativelabs/kube-router#1815", "main-rule-gone"),
        ("felix#164", "proxy-delay"),
        (
            "https://github.com/torvalds/linux/commit/66ba215cb51323e4e55e38fd5f250e0fae0cbc94",
            "delayed-replies-purged",
        ),
    ] {
        assert!(ids(word).contains(&format!("\"{want}\"")), "{word}: {:?}", ids(word));
    }
    // the same number elsewhere is something else
    for word in ["moby/moby#8689", "https://github.com/projectcalico/calico/issues/164"] {
        assert!(refused(&["run", word]).contains("none is about it"), "{word}");
    }
}

#[test]
fn an_address_is_never_taken_for_a_file() {
    for (word, want) in [
        ("https://github.com/projectcalico/calico/issues/99999", "none is about it"),
        ("https://github.com/projectcalico/calico", "addresses are not fetched"),
        ("https://example.org/mine.toml", "addresses are not fetched"),
        ("99999", "none is about that issue"),
    ] {
        for command in ["run", "show", "matrix", "list"] {
            let said = refused(&[command, word]);
            assert!(said.contains(want) && !said.contains("No such file"), "{command} {word}: {said}");
        }
    }
    // and a path is a path
    assert!(refused(&["run", "github.com/mine.toml"]).contains("No such file"));
}

#[test]
fn a_mechanisms_number_says_what_it_is() {
    let listed = seen(&["list", "M15"]);
    assert!(
        listed.starts_with("M15, rpf-with-missing-pod-route (plausible): With rp_filter 1 or 2"),
        "{listed}"
    );
    assert!(listed.contains("\nroute-withheld ") && listed.contains("entry absent"), "{listed}");
    let shown = seen(&["show", "m15"]);
    for want in [
        "M15: rpf-with-missing-pod-route\n",
        "\nVersions\n",
        "projectcalico/felix#806",
        "  arplab run route-withheld\n",
    ] {
        assert!(shown.contains(want), "{want}: {shown}");
    }
    // JSON lines are scenarios, as before
    for line in text(&arplab(&["list", "M15", "--json"]).stdout).lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["aliases"].to_string().contains("M15"), "{line}");
    }
    // `run` takes the scenario that `show --source` prints
    assert!(seen(&["show", "M11", "--source"]).starts_with("id = \"proxy-delay\""));
    assert!(seen(&["run", "M11"]).starts_with("proxy-delay: "));
    // one that cannot be staged is no less explained
    let shown = seen(&["show", "M14"]);
    assert!(shown.contains("No scenario stages it.") && shown.ends_with("exit status 0\n"), "{shown}");
    assert!(seen(&["list", "M14"]).contains("No scenario stages it."));
    assert!(refused(&["run", "M14"]).contains("`arplab show M14` says what it is"));
    assert!(refused(&["show", "M39"]).contains("the catalogue's mechanisms are M01 to M38"));
    assert!(refused(&["list", "M1"]).contains("(did you mean M01?)"));
    assert!(
        refused(&["run", "https://github.com/projectcalico/felix/pull/1938"]).contains("`arplab show M14`")
    );
    // an alias of a project that only the mechanism names
    let found = seen(&["list", "https://github.com/kubernetes/kubernetes/issues/131775"]);
    assert!(found.starts_with("late-add "), "{found}");
}

#[test]
fn every_mechanism_is_listed_with_the_scenarios_that_stage_it() {
    let lines = text(&arplab(&["list", "--mechanisms"]).stdout);
    assert_eq!(lines.lines().count(), 38);
    let json = text(&arplab(&["list", "--mechanisms", "--json"]).stdout);
    for (line, plain) in json.lines().zip(lines.lines()) {
        let m: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let number = m["number"].as_str().expect("a number");
        assert!(plain.starts_with(&format!("{number} ")), "{plain}");
        let shown = seen(&["show", number]);
        for id in m["scenarios"].as_array().expect("a list") {
            let id = id.as_str().expect("an id");
            assert!(plain.contains(id) && shown.contains(&format!("arplab run {id}\n")), "{number}: {id}");
        }
    }
}

/// `ARPLAB_WRITE_DOCS=1 cargo test --test command desk` writes the page anew.
#[test]
fn the_page_of_mechanisms_is_what_the_command_prints() {
    let path = format!("{}/docs/mechanisms.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).expect("the page");
    let mark = "<!-- arplab show M01 to M38 -->\n";
    let (intro, shown) = page.split_once(mark).expect("the mark before the mechanisms");
    let mut parts = Vec::new();
    for line in text(&arplab(&["list", "--mechanisms"]).stdout).lines() {
        let number = line.split(' ').next().expect("a number");
        let text = text(&arplab(&["show", number]).stdout);
        let (head, rest) = text.split_once("\n\n").expect("a head");
        parts.push(format!("\n## {}\n\n```text\n{}\n```\n", head.replacen(':', "", 1), rest.trim_end()));
    }
    let told = parts.concat();
    if std::env::var_os("ARPLAB_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{intro}{mark}{told}")).expect("written");
        return;
    }
    assert_eq!(shown, told, "ARPLAB_WRITE_DOCS=1 writes it anew");
}

/// Ids and where they were found, as JSON lines tell it.
fn found(args: &[&str]) -> Vec<(String, Vec<String>)> {
    let output = arplab(&[&["list", "--json"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    let one = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let places = line["found_in"].as_array().cloned().unwrap_or_default();
        let text = |v: &serde_json::Value| v.as_str().expect("text").to_owned();
        (text(&line["id"]), places.iter().map(text).collect())
    };
    text(&output.stdout).lines().map(one).collect()
}

#[test]
fn words_find_the_scenarios_that_have_them_all() {
    let udev = found(&["udev"]);
    let ids: Vec<&str> = udev.iter().map(|(id, _)| id.as_str()).collect();
    assert!(ids.len() >= 5, "{ids:?}");
    // those first whose name has it
    let named = ids.iter().take_while(|id| id.contains("udev")).count();
    assert_eq!(named, ids.iter().filter(|id| id.contains("udev")).count(), "{ids:?}");
    assert!(udev[0].1.contains(&"id".to_owned()), "{udev:?}");
    // each word narrows it, in whatever order, and one argument may hold several
    let both = found(&["udev", "wildcard"]);
    assert!(!both.is_empty() && both.len() < udev.len(), "{both:?}");
    assert!(both.iter().all(|(id, _)| ids.contains(&id.as_str())), "{both:?}");
    for other in [&["wildcard", "udev"][..], &["udev wildcard"], &["UDEV", "Wildcard"]] {
        let mut ids: Vec<String> = found(other).into_iter().map(|f| f.0).collect();
        let mut want: Vec<String> = both.iter().map(|f| f.0.clone()).collect();
        ids.sort();
        want.sort();
        assert_eq!(ids, want, "{other:?}");
    }
    let told = seen(&["list", "udev"]);
    assert!(told.contains("\n                         found: id, title"), "{told}");
    assert!(!told.contains("entry absent"), "a search runs nothing: {told}");
    // sources and reasons are looked through, too
    for (word, place) in [("28814", "sources"), ("queue-purged", "reasons")] {
        let all = found(&[word]);
        assert!(all.iter().any(|(_, places)| places.contains(&place.to_owned())), "{word}: {all:?}");
    }
}

#[test]
fn a_reason_a_symptom_and_a_release_narrow_the_list() {
    let ids = |args: &[&str]| found(args).into_iter().map(|f| f.0).collect::<Vec<String>>();
    let queue = ids(&["--reason", "queue-purged"]);
    assert_eq!(queue, ["delayed-replies-purged", "delayed-replies-purged-elsewhere"]);
    // a file that expects no reason is asked by running it
    assert!(ids(&["--reason", "forwarding-off"]).contains(&"forwarding-off".to_owned()));
    assert_eq!(ids(&["--reason", "queue-purged", "elsewhere"]), ["delayed-replies-purged-elsewhere"]);
    // of what an issue leads to, those with a reason; what each looks like is said as without
    let both = found(&["8689", "--reason", "rp-filter-other-device"]);
    assert!(both.iter().any(|(id, _)| id == "late-responder"), "{both:?}");
    assert!(both.iter().all(|(id, _)| id != "udev-sysctl-minute"), "{both:?}");
    let told = seen(&["list", "8689", "--reason", "rp-filter-other-device"]);
    assert!(told.starts_with("Issue 8689 established") && told.contains("entry absent: yes"), "{told}");
    let symptom = found(&["--symptom", "EHOSTUNREACH ping"]);
    assert!(
        symptom.iter().any(|(id, p)| id == "late-responder" && p[0].contains("Destination Host Unreachable"))
    );
}

#[test]
fn a_release_has_what_is_set_in_it_and_what_happens_in_it_too() {
    let found = found(&["M15", "--calico", "v3.26.1"]);
    let of = |id: &str| found.iter().find(|f| f.0 == id).map(|f| f.1.concat());
    assert!(of("route-withheld").is_some_and(|p| p.contains("v3.26")), "{found:?}");
    // the plugin of v3.26 writes what the minute of 2017 was waiting for
    assert!(
        refused(&["list", "felix-only", "late-responder", "--calico", "v3.26"]).contains("--calico v3.26")
    );
    assert!(refused(&["list", "--calico", "v4"]).contains("they know"));
}

#[test]
fn nothing_found_says_what_is_nearest() {
    let said = refused(&["list", "wildcrad"]);
    assert!(said.contains("no scenario answers to \"wildcrad\" (did you mean wildcard?)"), "{said}");
    let said = refused(&["list", "udev", "wildcrad"]);
    assert!(
        said.contains("\"udev\", \"wildcrad\" (did you mean wildcard?)") && said.contains("The nearest: "),
        "{said}"
    );
    let said = refused(&["list", "--reason", "rp-filter"]);
    assert!(said.contains("did you mean ") && said.contains("rp-filter-no-route"), "{said}");
    let said = refused(&["list", "--reason", "queue-full", "wildcard"]);
    assert!(
        said.contains("(without --reason queue-full)") || said.contains("(without \"wildcard\")"),
        "{said}"
    );
    for args in
        [&["list", ""][..], &["list", " ", "#"], &["list", "--symptom", " "], &["list", "--steps", "udev"]]
    {
        assert_eq!(arplab(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn without_a_command_it_says_what_to_begin_with() {
    let said = refused(&[]);
    let commands: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("  arplab ")).collect();
    assert_eq!(commands.len(), 3, "{said}");
    for line in commands {
        let words = line.split("   ").next().unwrap_or_default().split_whitespace();
        let words = std::iter::once("arplab").chain(words);
        arplab::cli::command().try_get_matches_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    // what an option alone lacks is said as ever
    assert!(refused(&["-v"]).contains("Usage: arplab"));
    assert!(refused(&["cni"]).contains("Usage: arplab cni"));
}
