//! What a person reads: help, listings, a run, errors.

use crate::run::{arplab, command, seen, text};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

macro_rules! snapshot {
    ($name:ident: $($arg:literal)+) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), seen(&[$($arg),+]));
        }
    };
}

snapshot!(help: "--help");
snapshot!(help_of_run: "run" "--help");
snapshot!(run_8689: "run" "8689");
snapshot!(run_8689_fixed: "run" "8689" "--fix" "plugin-configures-host");
snapshot!(run_no_default_route: "run" "no-default-route");
snapshot!(show_8689: "show" "8689");
snapshot!(error_of_an_unknown_scenario: "run" "late-respnder");
snapshot!(error_of_an_unknown_fix: "run" "8689" "--fix" "plugin-configure-host");
snapshot!(error_of_an_unknown_step: "run" "8689" "--hold" "felix.iface-sean=5s");
snapshot!(error_of_a_hold_without_a_time: "run" "8689" "--hold" "felix.iface-seen");
snapshot!(error_of_a_hold_without_a_unit: "run" "8689" "--hold" "felix.iface-seen=5");

/// Writes a scenario file and shows what is said of it.
fn said_of(file: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("mine.toml"), file).expect("written");
    let output = command(&["run", "mine.toml"]).current_dir(dir.path()).output().expect("it starts");
    let code = output.status.code().expect("ended by itself");
    format!("{}{}exit status {code}\n", text(&output.stdout), text(&output.stderr))
}

const HEAD: &str = "id = \"mine\"\ntitle = \"Mine\"\n";

#[test]
fn flaws_of_a_file_are_shown_in_place() {
    let cases = [
        ("a_word_too_much", "[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ninterwal = \"1s\"\n"),
        ("no_such_step", "[[hold]]\nstep = \"felix.iface-sean\"\nfor = \"5s\"\n"),
        ("no_such_unit", "[[hold]]\nstep = \"felix.iface-seen\"\nfor = \"5 parsecs\"\n"),
        ("a_text_that_steers_the_terminal", "story = \"red: \\u001b[31m\"\n"),
        ("no_such_reason", "[expect]\nreasons = [\"rp-filter\"]\n"),
        ("no_such_state", "[expect]\nentry = \"REACHABEL\"\n"),
        ("arping_to_ipv6", "[[client]]\nkind = \"arping\"\nto = \"fd00::1\"\n"),
        ("a_fault_that_does_nothing", "[[fault]]\nframe = \"ip\"\nfrom = \"pod\"\n"),
        ("a_fault_that_does_two_things", "[[fault]]\nframe = \"ip\"\ndrop = true\ncorrupt = true\n"),
        ("numbers_of_a_fault", "[[fault]]\nnth = 0\nper-mille = 1001\ndrop = true\n"),
        ("no_toml", "[[hold]\nstep = \n"),
        (
            "steps_that_wait_for_each_other",
            "[[step]]\nid = \"operator.a\"\ntitle = \"a\"\nafter = \"operator.b\"\n[[step]]\nid = \"operator.b\"\ntitle = \"b\"\nafter = \"operator.a\"\n",
        ),
        (
            "a_step_twice",
            "[[step]]\nid = \"operator.a\"\ntitle = \"a\"\n[[step]]\nid = \"operator.a\"\ntitle = \"b\"\n",
        ),
        (
            "senseless_numbers",
            "[kernel]\nhz = 0\n[[hold]]\nstep = \"felix.apply\"\nnth = 0\nfor = \"1s\"\n[[client]]\nkind = \"tcp-connect\"\nto = \"10.43.0.1:0\"\nretry = \"0s\"\n",
        ),
        ("a_name_no_pod_has", "[pod]\nname = \"A/B C\"\n"),
        ("a_client_that_is_not_there", "[expect.client.nope]\nfailures = 0\n"),
        (
            "a_delay_without_a_unit",
            "[[step]]\nid = \"operator.a\"\ntitle = \"a\"\ndelay = [\"1s\", \"2 x\"]\n",
        ),
        (
            "a_delay_of_three",
            "[[step]]\nid = \"operator.a\"\ntitle = \"a\"\ndelay = [\"1s\", \"2s\", \"3s\"]\n",
        ),
        ("seen_that_is_no_list", "seen = \"nothing\"\n"),
        (
            "several_at_once",
            "storry = \"x\"\n[[step]]\nid = \"operator.a\"\ndelay = \"1 parsec\"\nnode = [\"ip rute add\", \"ip link set lo up\", \"rm -rf /\"]\n[[client]]\nkind = \"pingg\"\nto = \"203.0.113.8\"\n",
        ),
        (
            "unknown_words_and_an_unknown_step",
            "[[step]]\nid = \"operator.a\"\nevry = \"1s\"\nafter = \"felix.nothing\"\nnode = [\"sh -c true\"]\n",
        ),
        (
            "a_set_up_for_a_kernel",
            "[node]\nsetup = [\"ip link add vx0 type vxlan id 7 dstport 4789\", \"ip link set vx0 up\"]\n[pod]\nsetup = [\"ip link add red type vrf table 7\"]\n",
        ),
        (
            "commands_for_a_kernel",
            "[[step]]\nid = \"operator.a\"\nnode = [\"ip nexthop add id 7 blackhole\", \"ip link set {cali} up\"]\npod = [\"ip link set eth0 mtu 576\"]\n",
        ),
    ];
    for (name, rest) in cases {
        insta::assert_snapshot!(format!("flaw_{name}"), said_of(&format!("{HEAD}{rest}")));
    }
}

#[test]
fn the_first_item_too_many_is_named() {
    let steps: Vec<String> = (0..252).map(|n| format!("[[step]]\nid = \"operator.s{n}\"\n")).collect();
    let said = said_of(&format!("{HEAD}{}", steps.concat()));
    assert!(said.contains("252 steps, holds, faults and clients; at most 250"), "{said}");
    assert!(said.contains("id = \"operator.s250\""), "{said}");
}

#[test]
fn files_that_are_no_scenario_are_refused_with_a_word_about_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let deep = format!("{HEAD}x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(&str, Vec<u8>); 6] = [
        ("empty.toml", Vec::new()),
        ("binary.toml", vec![0xff, 0xfe, 0x00, 0x80]),
        ("zeros.toml", vec![0; 4096]),
        ("deep.toml", deep.into_bytes()),
        ("huge.toml", vec![b'a'; 20 << 20]),
        ("crlf.toml", b"id = \"mine\"\r\ntitle = 5\r\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        let output = arplab(&["run", path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        assert!(text(&output.stderr).contains(name), "{name}: {}", text(&output.stderr));
        assert!(output.stderr.len() < 10_000, "{name}: {} bytes of error", output.stderr.len());
    }
    let output = arplab(&["run", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(2), "a directory: {output:?}");
    let output = arplab(&["run", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2), "a file without an end: {output:?}");
}

/// Opening a FIFO waits for a writer, who may never come.
#[test]
fn a_fifo_in_the_place_of_a_file_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo.toml");
    let fifo = fifo.to_str().expect("UTF-8");
    assert!(Command::new("mkfifo").arg(fifo).status().expect("mkfifo(1)").success());
    let with_fifo = [
        &["run", fifo][..],
        &["show", fifo],
        &["up", fifo],
        &["run", "--replay", fifo],
        &["explore", "--replay", fifo],
        &["identify", "--trace", fifo],
        &["identify", "--pcap", fifo],
        &["conform", fifo],
        &["cni", "replay", fifo],
    ];
    for args in with_fifo {
        let mut bounded = Command::new("timeout");
        let output = bounded.arg("20").arg(env!("CARGO_BIN_EXE_arplab")).args(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("fifo.toml failed: it is no regular file"), "{args:?}: {said}");
    }
    // what this process has open already is no file of which nobody knows who writes it
    let mut piped = Command::new("sh");
    let script = format!("printf 'id = 1' | {} run /dev/stdin", env!("CARGO_BIN_EXE_arplab"));
    let output = piped.args(["-c", &script]).output().expect("runs");
    assert!(text(&output.stderr).contains("/dev/stdin:1:"), "{output:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        command(&["run", "8689", "--full"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn every_event_is_valid_by_the_schema_that_is_printed() {
    let schema: serde_json::Value =
        serde_json::from_slice(&arplab(&["schema", "--events"]).stdout).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    for line in text(&arplab(&["run", "8689", "--json"]).stdout).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event["event"] != "verdict" {
            let errors: Vec<String> = validator.iter_errors(&event).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{line}: {errors:?}");
        }
    }
}

#[test]
fn every_built_in_file_is_valid_by_the_schema_that_is_printed() {
    let schema: serde_json::Value = serde_json::from_slice(&arplab(&["schema"]).stdout).expect("a schema");
    let validator = jsonschema::validator_for(&schema).expect("a sound schema");
    for (name, text) in arplab::scenario::catalogue::files() {
        let file: serde_json::Value = toml::from_str(text).expect("TOML");
        let errors: Vec<String> = validator.iter_errors(&file).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

/// The verdict belongs to the run, not to whoever reads it.
#[test]
fn a_reader_that_goes_away_does_not_change_the_verdict() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = format!(
        "{HEAD}[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ncount = 3\n[expect]\nunanswered = 7\n"
    );
    std::fs::write(dir.path().join("mine.toml"), file).expect("written");
    for args in [&["run", "mine.toml"][..], &["run", "mine.toml", "--json"]] {
        let mut child =
            command(args).current_dir(dir.path()).stdout(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(1), "{args:?}");
    }
}

#[test]
fn an_error_nobody_can_read_is_still_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let status = command(&["run", "nope"]).stderr(full).status().expect("it starts");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_run_without_end_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = format!(
        "{HEAD}duration = \"1h\"\n[[client]]\nkind = \"arping\"\nto = \"169.254.1.1\"\ninterval = \"1ms\"\n"
    );
    std::fs::write(dir.path().join("mine.toml"), file).expect("written");
    let output = command(&["run", "mine.toml"]).current_dir(dir.path()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("too many events"), "{}", text(&output.stderr));
}

/// A ping without a count never ends; what it saw in the ten minutes that it is given is no verdict.
#[test]
fn a_run_that_is_given_up_says_so_and_is_no_success() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = format!("{HEAD}[[client]]\nname = \"for-ever\"\nkind = \"ping\"\nto = \"203.0.113.8\"\n");
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, &file).expect("written");
    let run = |args: &[&str]| {
        let output = command(args).current_dir(dir.path()).output().expect("it starts");
        (output.status.code(), text(&output.stdout))
    };
    let (code, told) = run(&["run", "mine.toml"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("GIVEN UP after 600s") && told.contains("for-ever was not done"), "{told}");
    let (code, told) = run(&["run", "mine.toml", "--json"]);
    assert_eq!(code, Some(1));
    assert!(told.lines().last().is_some_and(|l| l.contains(r#""result":"given up""#)), "{told}");
    // ten minutes that were asked for are none that were waited in vain
    std::fs::write(&path, file.replace(HEAD, &format!("{HEAD}duration = \"600s\"\n"))).expect("written");
    let (code, told) = run(&["run", "mine.toml"]);
    assert!(code == Some(0) && !told.contains("GIVEN UP"), "{told}");
}

/// Felix takes the IPv6 route of a pod of two families; its IPv4 gateway is silent from then on, too, and
/// nobody wants it.
const TWO_FAMILIES: &str = "[pod]\nip6 = \"fd00:10::7b\"\n[[hold]]\nstep = \"felix.endpoint-known\"\nfor = \"60s\"\n\
    [[client]]\nkind = \"ping\"\nto = \"2001:db8::8\"\ncount = 30\n";

#[test]
fn the_two_families_of_a_pod_are_told_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("mine.toml"), format!("{HEAD}{TWO_FAMILIES}")).expect("written");
    let run = |args: &[&str]| {
        let all = [&["run", "mine.toml"], args].concat();
        text(&command(&all).current_dir(dir.path()).output().expect("it starts").stdout)
    };
    let told = run(&["--pcap", "mine.pcapng"]);
    // no ARP frame ever leaves, so none is told of
    assert!(!told.contains("who-has 169.254.1.1") && !told.contains("169.254.1.1 lladdr"), "{told}");
    let lines = [
        "Gateway      IPv4: the pod never asked for it\n             IPv6: silent for ",
        "1 of 3 requests unanswered\n             because of tentative\n",
        "Pod's entry  IPv4: none\n             IPv6: fe80::ecee:eeff:feee:eeee lladdr ee:ee:ee:ee:ee:ee REACHABLE",
        "s to the end: its packets leave, but the host's way back to the pod is by up0",
        "from here on the IPv4 gateway is silent",
    ];
    for line in lines {
        assert!(told.contains(line), "{line}\n{told}");
    }
    // the capture says of each solicitation what the timeline does
    let bytes = std::fs::read(dir.path().join("mine.pcapng")).expect("written");
    let comments =
        String::from_utf8_lossy(&bytes).matches("still being tested for duplicates [tentative]").count();
    assert_eq!((told.matches("no reply").count(), comments), (1, 1), "{told}");
    // each client is measured by its own family's gateway: what is expected of the window is IPv6's
    let expect = "[expect]\nunanswered = 1\nwindow = [\"500ms\", \"3s\"]\nentry = \"REACHABLE\"\n";
    std::fs::write(dir.path().join("mine.toml"), format!("{HEAD}{TWO_FAMILIES}{expect}")).expect("written");
    let told = run(&[]);
    assert!(told.contains("As expected: 3 of 3 checks"), "{told}");
}

/// A host end that goes down late: every request that could be sent was answered, and half of the
/// pings are lost.
#[test]
fn a_run_that_ends_badly_is_not_told_as_good() {
    let step = |id: &str, after: &str, delay: &str, end: &str| {
        format!(
            "[[step]]\nid = \"operator.{id}\"\nafter = \"{after}\"\ndelay = \"{delay}\"\nnode = [\"ip link set {{cali}} {end}\"]\ntitle = \"{id}\"\n"
        )
    };
    let steps = step("down", "cni.add-return", "200ms", "down")
        + &step("up", "operator.down", "1s", "up")
        + &step("again", "operator.up", "45s", "down");
    let told =
        said_of(&format!("{HEAD}{steps}[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ncount = 90\n"));
    let because = "the gateway is silent, and cannot be asked: the host end of the veth is down\n";
    assert!(told.contains("s to 1.4") && told.contains(&format!("s to the end: {because}")), "{told}");
    assert!(told.contains("answered the only request, and is silent from 46."), "{told}");
    // the whole of a time in which no request could even be sent
    let told = seen(&["run", "cali-set-down"]);
    assert_eq!(
        told.matches(&format!("without the world from 0.400s to 41.364s: {because}")).count(),
        2,
        "{told}"
    );
    // where the host drops what comes, it says so
    let told = seen(&["run", "late-del"]);
    assert!(
        told.contains("the host drops 30 packets: the host's way back to the pod leaves by another"),
        "{told}"
    );
}

/// What the pod's own rp_filter refuses is the pod's doing, and told in its name.
#[test]
fn what_the_pod_drops_is_not_told_as_the_hosts() {
    let refuses =
        "the pod's way back to the sender leaves by another interface, and rp_filter 1 (strict) refuses that";
    // the host asks for the pod in the name of the node, and the pod does not hear it
    let told = seen(&["run", "pod-rp-filter"]);
    let line = format!("its sender is told; the pod does not answer the host's own requests: {refuses}\n");
    assert_eq!(told.matches(&line).count(), 2, "{told}");
    let told = seen(&["run", "pod-rp-filter", "--json"]);
    let of_pod: Vec<&str> =
        told.lines().filter(|l| l.contains(r#""side":"pod""#) && l.contains("way back")).collect();
    assert!(of_pod.len() > 50 && of_pod.iter().all(|l| l.contains(refuses)), "{told}");
    // with its permanent entry the host need not ask, and the pod drops what it sends
    let setup = "[pod]\nsetup = [\"sysctl -w net.ipv4.conf.default.rp_filter=1\"]\nbefore-start = [\"ip link add net1 type ethernet\", \
                 \"ip link set net1 up\", \"ip addr add 192.0.2.9/24 dev net1\", \
                 \"ip route replace default via 192.0.2.1 dev net1\"]\n";
    let client = "[[client]]\nkind = \"ping\"\nto = \"10.42.0.123\"\nfrom = \"node\"\ncount = 5\n";
    let told = said_of(&format!("{HEAD}{setup}{client}"));
    assert!(told.contains(&format!("the pod drops 5 packets: {refuses}\n")), "{told}");
}

/// The page of the program names one for every command, and each of those can be made.
#[test]
fn every_manual_page_that_is_named_can_be_printed() {
    let page = text(&arplab(&["man"]).stdout).replace('\\', "");
    let named: Vec<&str> =
        page.lines().filter_map(|l| l.strip_prefix("arplab-")?.strip_suffix("(1)")).collect();
    assert!(named.contains(&"run") && named.contains(&"why-a-minute") && named.len() >= 15, "{named:?}");
    for name in named {
        let output = arplab(&["man", name]);
        let page = text(&output.stdout).replace('\\', "");
        assert_eq!(output.status.code(), Some(0), "{name}");
        assert!(page.contains(&format!(".TH arplab-{name} 1")), "{name}: {page}");
        assert_ne!(name, "help", "a page about itself");
    }
    assert_eq!(arplab(&["man", "nothing"]).status.code(), Some(2));
}

/// A question that nobody could be asked, or an option that the target has not, is bad input.
#[test]
fn probe_refuses_what_it_cannot_ask() {
    for args in [
        &["probe", "8689", "--only", "model", "--gateway", "0.0.0.0"][..],
        &["probe", "8689", "--only", "model", "--gateway", "224.0.0.1"],
        &["probe", "8689", "--only", "model", "--pod-ip", "169.254.1.1"],
        &["probe", "8689", "--only", "model", "--pod-mac", "ff:ff:ff:ff:ff:ff"],
        &["probe", "no-such-link", "--at", "5s"],
        &["probe", "no-such-link", "--fix", "x"],
        &["probe", "no-such-link", "--only", "kernel"],
    ] {
        let output = arplab(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    }
}

/// Writing is the last thing the matrix does; that it cannot is the first thing it finds.
#[test]
fn a_page_that_cannot_be_written_is_refused_at_once_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().to_str().expect("UTF-8");
    let nowhere = format!("{place}/no/such/page.html");
    for (path, why) in [(nowhere.as_str(), "there is no directory"), (place, "it is a directory")] {
        let begin = std::time::Instant::now();
        let output = arplab(&["matrix", "--html", path]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(path) && said.contains(why), "{said}");
        assert!(begin.elapsed().as_secs() < 5, "the whole matrix was run first");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0);
    let page = format!("{place}/page.html");
    let output = arplab(&["matrix", "proxy-delay", "--with", "default-route", "--html", &page]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(std::fs::read_to_string(&page).expect("written").ends_with("</html>\n"));
    let other = std::fs::File::create(dir.path().join("other")).expect("a file");
    let mode = |m: std::fs::Metadata| m.permissions().mode();
    let (ours, usual) = (std::fs::metadata(&page).expect("there"), other.metadata().expect("there"));
    assert_eq!(mode(ours), mode(usual), "as readable as any new file");
}

#[test]
fn words_that_nothing_answers_to_are_bad_input() {
    let cases: [(&[&str], &str); 12] = [
        (&["list", "nosuch"], "`arplab list` shows all"),
        (&["matrix", "nosuch"], "`arplab list` shows all"),
        (&["matrix", "nosuch.toml"], "No such file"),
        (&["matrix", "proxy-delay", "--with", "nosuch"], "there are: proxy-delay-0,"),
        (&["matrix", "--why", "nosuch", "default-route"], "`arplab list` shows all"),
        (&["matrix", "--why", "proxy-delay", "nosuch"], "there are: proxy-delay-0,"),
        (&["matrix", "--why", "proxy-delay"], "2 values required"),
        (&["matrix", "proxy-delay", "--threads", "0"], "1 at least"),
        (&["run", "proxy-delay", "--with", "nosuch"], "there are: proxy-delay-0,"),
        (&["run", "late-responder", "--fix", "rp-filter-0"], "--with rp-filter-0"),
        (
            &["run", "late-responder", "--with", "shorter-interface-refresh"],
            "--fix shorter-interface-refresh",
        ),
        (&["why-a-minute", "8689"], "unexpected argument"),
    ];
    for (args, want) in cases {
        let output = arplab(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        assert!(text(&output.stderr).contains(want), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_file_of_ones_own_has_its_row_in_the_matrix() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.toml");
    let steps = "[[step]]\nid = \"udev.a\"\ntitle = \"a\"\n[[step]]\nid = \"udev.b\"\ntitle = \"b\"\n";
    let fix = "[[fix]]\nname = \"none\"\ntitle = \"none\"\neffect = \"nothing\"\nchange.drop-steps = [\"udev.*\"]\n";
    std::fs::write(&path, format!("{HEAD}{steps}{fix}")).expect("written");
    let file = path.to_str().expect("UTF-8");
    let output = arplab(&["matrix", "--why", file, "default-route"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.contains("Without it: nothing is lost") && said.contains(&format!("run {file} --with")),
        "{said}"
    );
    let full = text(&arplab(&["run", file, "--fix", "none", "--full"]).stdout);
    assert!(!full.contains("udev.a") && text(&arplab(&["run", file, "--full"]).stdout).contains("udev.a"));
    let late = format!("{HEAD}{steps}{}", "after = \"cni.add-fail\"\n");
    std::fs::write(&path, late).expect("written");
    let said = text(&arplab(&["run", file]).stdout);
    assert!(said.contains("Never done: udev.b. A run ends"), "{said}");
    std::fs::write(&path, format!("{HEAD}{steps}{}", fix.replace("udev.*", "udev.c"))).expect("written");
    let output = arplab(&["run", file]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("it has: udev.a, udev.b"), "{}", text(&output.stderr));
}

/// Runs a file of one's own, whose text follows the head, and gives its last word.
fn verdict_of(rest: &str) -> serde_json::Value {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, format!("{HEAD}{rest}")).expect("written");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_arplab"))
        .args(["run", "--json"])
        .arg(&path)
        .output()
        .expect("it runs");
    let text = String::from_utf8(run.stdout).expect("text");
    serde_json::from_str(text.lines().last().expect("a verdict")).expect("JSON")
}

#[test]
fn a_refresh_of_nothing_is_off_and_the_run_ends() {
    let verdict =
        verdict_of("[calico]\nroute-refresh = \"0s\"\ninterface-refresh = \"0s\"\nipsets-refresh = \"0s\"\n");
    assert_eq!(verdict["seen"]["clients"]["ping"]["answered"], 3, "{verdict:#}");
}

/// As Linux 6.18 has it: proxy ARP goes with the device and not with its name.
#[test]
fn a_renamed_host_end_goes_on_answering() {
    let rename = "[[step]]\nid = \"operator.rename\"\ntitle = \"renamed\"\nafter = \"kubelet.container-start\"\nnode = [\"ip link set {cali} name foo0\"]\n";
    let client = "[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ndelay = \"2s\"\ncount = 3\n";
    let verdict = verdict_of(&format!("{rename}{client}"));
    assert_eq!(verdict["seen"]["clients"]["ping"]["answered"], 3, "{verdict:#}");
}
