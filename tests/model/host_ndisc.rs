//! Neighbour discovery on the host and between host and pod.

use crate::common::POD_MAC;
use crate::common::pair::{HOST, POD, Pair, Pick, SERVER, gateway, ip6};
use arplab::addr::{Mac, Side};
use arplab::choice::ChoiceKind;
use arplab::host::{HostState, NsDecision, NsReason, NsRequest, decide_ns};
use arplab::packet::Frame;
use arplab::pair::Input;
use arplab::pod::{ClientId, ClientSpec, PingSpec};
use arplab::time::{Span, Time};
use arplab::wire::{
    self, Cast, ETHERTYPE_IPV6, Ends, Payload,
    nd::{self, NdMessage, Solicit},
};

const SECOND: Span = Span::from_secs(1);

#[test]
fn a_test_for_duplicates_says_what_the_kernels_says() {
    let mut pair = Pair::new();
    pair.up();
    let (_, _, frame) = pair.log.frames.iter().find(|f| f.1 == HOST).unwrap();
    // as sent by 6.18; checksum and nonce differ from run to run
    let kernel = "3333ffeeeeeeeeeeeeeeeeee86dd6000000000203aff00000000000000000000000000000000\
                  ff0200000000000000000001ffeeeeee8700\
                  8f6f00000000fe80000000000000eceeeefffeeeeeee0e0144d4b2072e29";
    let hex = crate::common::hex(frame);
    let masked = |s: &str| format!("{}....{}", &s[..112], &s[116..160]);
    assert_eq!(masked(&hex), masked(&kernel.replace(char::is_whitespace, "")));
    assert_eq!(hex.len(), 172);
}

#[test]
fn an_address_answers_after_its_test_and_not_before() {
    let mut pair = Pair::new();
    pair.up();
    let target = gateway().to_string();
    pair.ask(&target);
    assert_eq!(pair.log.silences.last(), Some(&NsReason::Tentative { failed: false }));
    pair.wait(Span::from_ms(990));
    pair.ask(&target);
    assert!(pair.adverts().is_empty());
    pair.wait(Span::from_ms(50));
    pair.ask(&target);
    assert_eq!(pair.adverts().len(), 1);
}

#[test]
fn a_test_takes_the_drawn_part_of_a_second_and_each_solicitation_one() {
    for (transmits, drawn, solicits) in [(1, 0, 1), (1, 249, 1), (3, 100, 3), (0, 200, 0)] {
        let mut pair = Pair::new();
        pair.run(HOST, &format!("sysctl net.ipv6.conf.cali0.dad_transmits={transmits}"));
        pair.run(POD, "sysctl net.ipv6.conf.eth0.accept_dad=0");
        let start = pair.now();
        pair.up_with(&mut Pick(ChoiceKind::DadDelay, drawn));
        while pair.tentative(HOST)[0].0 {
            pair.wait(Span::from_ms(4));
        }
        let took = pair.now().since(start).as_ms();
        let least = drawn * 4 + transmits * 1000;
        assert!((least..least + 40 * (transmits + 1) + 8).contains(&took), "{transmits} {drawn}: {took} ms");
        assert_eq!(pair.said(HOST).len(), solicits);
    }
}

#[test]
fn nothing_is_tested_where_nobody_asks_for_it() {
    for (commands, tested) in [
        (&["sysctl net.ipv6.conf.cali0.accept_dad=0"][..], false),
        (&["sysctl net.ipv6.conf.cali0.accept_dad=0", "sysctl net.ipv6.conf.all.accept_dad=1"], true),
        (&["ip link set cali0 arp off"], false),
        (&[], true),
    ] {
        let mut pair = Pair::new();
        for command in commands {
            pair.run(HOST, command);
        }
        pair.up();
        assert_eq!(pair.tentative(HOST), [(tested, false)], "{commands:?}");
    }
    // an address of the pod's own: with nodad at once
    let mut pair = Pair::new();
    pair.up();
    pair.run(POD, "ip addr add fd00:65::2/128 dev eth0 nodad");
    pair.run(POD, "ip addr add fd00:65::3/128 dev eth0");
    assert_eq!(pair.tentative(POD), [(true, false), (false, false), (true, false)]);
}

#[test]
fn ipv6_waits_until_the_carrier_is_noticed() {
    let mut pair = Pair::new();
    pair.run(HOST, "sysctl net.ipv6.conf.cali0.accept_dad=0");
    pair.run(HOST, "ip link set cali0 up");
    pair.wait(SECOND);
    assert!(pair.tentative(HOST).is_empty());
    pair.run(HOST, "ip link set cali0 carrier on");
    assert_eq!(pair.tentative(HOST), [(false, false)]);
    // enabling it by hand needs no link event
    pair.run(HOST, "sysctl net.ipv6.conf.cali0.disable_ipv6=1");
    assert!(pair.tentative(HOST).is_empty());
    pair.run(HOST, "sysctl net.ipv6.conf.cali0.disable_ipv6=0");
    assert_eq!(pair.tentative(HOST), [(false, false)]);
}

#[test]
fn a_rival_makes_the_test_fail_for_good() {
    // both ends test one address: each hears the other's solicitation
    let mut pair = Pair::new();
    pair.run(POD, "ip link set eth0 address ee:ee:ee:ee:ee:ee");
    pair.up();
    assert_eq!((pair.tentative(HOST), pair.tentative(POD)), (vec![(true, true)], vec![(true, true)]));
    // somebody who has it already says so
    let mut pair = Pair::new();
    pair.run(POD, "sysctl net.ipv6.conf.eth0.accept_dad=0");
    pair.up();
    pair.run(POD, &format!("ip addr add {}/64 dev eth0 nodad", gateway()));
    pair.wait(Span::from_ms(10));
    // the host's solicitation came before the pod had the address; the next one is answered
    pair.run(HOST, "ip link set cali0 down");
    pair.run(HOST, "ip link set cali0 up");
    assert_eq!(pair.tentative(HOST), [(true, true)]);
    pair.ask(&gateway().to_string());
    assert_eq!(pair.log.silences.last(), Some(&NsReason::Tentative { failed: true }));
    // its own solicitation come back to it is no rival
    let mut pair = Pair::new();
    pair.run(POD, "sysctl net.ipv6.conf.eth0.disable_ipv6=1");
    pair.up();
    let frame = pair.log.frames.iter().find(|f| f.1 == HOST).unwrap().2.clone();
    pair.put(Input::Frame(HOST, frame));
    assert_eq!(pair.tentative(HOST), [(true, false)]);
}

/// A ping of the pod, to the host in the world.
fn ping(pair: &mut Pair) -> ClientId {
    let spec = PingSpec { count: Some(1), ..PingSpec::to(ip6(SERVER).into()) };
    let id = pair.bench.pair.add_client(ClientSpec::Ping(spec));
    pair.put(Input::Start(id));
    id
}

#[test]
fn a_ping_goes_out_and_comes_back() {
    let mut pair = Pair::calico();
    let id = ping(&mut pair);
    assert_eq!(pair.uplink().len(), 1, "one resolution, one packet");
    let ends = Ends::V6(ip6("fd00:65::2"), ip6(SERVER));
    let Some((out, Payload::Echo { reply: false, .. })) = wire::parse(&pair.uplink()[0]) else { panic!() };
    assert_eq!((out, pair.uplink()[0][7]), (ends, 63), "one hop less to live");
    assert_eq!(pair.bench.pair.outcome(id).received, 1);
}

#[test]
fn a_pod_whose_gateway_is_missing_hears_of_it_after_three_solicitations() {
    let mut pair = Pair::calico();
    pair.run(HOST, &format!("ip addr del {}/64 dev cali0", gateway()));
    let id = ping(&mut pair);
    pair.wait(Span::from_secs(4));
    assert_eq!(pair.said(POD).len(), 3);
    let (_, _, dst, NdMessage::Solicit(ns)) = pair.said(POD)[0] else { panic!() };
    assert_eq!((dst, ns.source), (nd::solicited_node(gateway()), Some(POD_MAC)));
    let outcome = pair.bench.pair.outcome(id);
    assert_eq!((outcome.received, outcome.errors), (0, 1));
}

#[test]
fn what_the_host_forwards_it_limits_and_refuses() {
    let to = |pair: &mut Pair, src: &str, dst: &str, hops: u8| {
        let mut packet = wire::udp(Ends::V6(ip6(src), ip6(dst)), 1, 2, b"x");
        packet[7] = hops;
        let mut frame = Frame::from_slice(&Mac::CALICO.0);
        frame.extend(POD_MAC.0);
        frame.extend(ETHERTYPE_IPV6.to_be_bytes());
        frame.extend_from_slice(&packet);
        pair.put(Input::Frame(HOST, frame));
        pair.uplink().len()
    };
    let mut pair = Pair::calico();
    assert_eq!(to(&mut pair, "fd00:65::2", "2001:db8::8", 64), 1);
    assert_eq!(to(&mut pair, "fd00:65::2", "2001:db8::8", 1), 1, "no hop left");
    assert_eq!(to(&mut pair, "fe80::aff:fe41:2", "2001:db8::8", 64), 1, "a link-local source stays");
    let told = |pair: &Pair, code| {
        let about = |(_, from, f): &(Time, Side, Frame)| {
            *from == HOST
                && matches!(wire::parse(&f[14..]), Some((_, Payload::Unreachable { code: c, .. })) if c == code)
        };
        pair.log.frames.iter().any(about)
    };
    assert!(told(&pair, 2), "beyond scope of source address");
    pair.run(HOST, "ip -6 route del default");
    assert_eq!(to(&mut pair, "fd00:65::2", "2001:db8::8", 64), 1);
    assert!(told(&pair, 0), "no route");
    let mut pair = Pair::calico();
    pair.run(HOST, "sysctl net.ipv6.conf.all.forwarding=0");
    assert_eq!(to(&mut pair, "fd00:65::2", "2001:db8::8", 64), 0);
}

#[test]
fn proxying_wants_an_entry_a_switch_and_forwarding_but_no_route() {
    let entry = "ip neigh add proxy fd00:99::1 dev cali0";
    let on = "sysctl net.ipv6.conf.cali0.proxy_ndp=1";
    for (commands, reason) in [
        (&[entry, on][..], None),
        (&[entry, "sysctl net.ipv6.conf.all.proxy_ndp=1"], None),
        (&[entry, on, "ip -6 route del default"], None),
        (&[on], Some("not-listening")),
        (&[entry], Some("proxy-ndp-off")),
        (&[entry, on, "sysctl net.ipv6.conf.cali0.forwarding=0"], Some("forwarding-off")),
        (&["ip neigh add proxy fd00:99::1 dev up0", on], Some("not-listening")),
        (&[entry, on, "sysctl net.ipv6.conf.cali0.disable_ipv6=1"], Some("ipv6-disabled")),
        (&["ip neigh add proxy fd00:98::1 dev cali0", on], Some("no-proxy-entry")),
    ] {
        let mut pair = Pair::calico();
        for command in commands {
            pair.run(HOST, command);
        }
        pair.ask("fd00:99::1");
        assert_eq!(pair.log.silences.last().map(|r| r.pointer().code), reason, "{commands:?}");
        assert_eq!(pair.adverts().len(), usize::from(reason.is_none()));
    }
}

#[test]
fn a_unicast_solicitation_of_a_proxied_address_is_taken_in_passing_only_with_all() {
    let target = ip6("fd00:99::1");
    let ns = Solicit { target, source: Some(POD_MAC), nonce: None };
    let ask = |commands: &[&str]| {
        let mut pair = Pair::calico();
        pair.run(HOST, "ip neigh add proxy fd00:99::1 dev cali0");
        for command in commands {
            pair.run(HOST, command);
        }
        pair.inject(HOST, "fd00:65::2", target, &ns, Mac::CALICO);
        (pair.adverts().len(), pair.log.silences.last().copied(), pair.uplink().len())
    };
    let dev = "sysctl net.ipv6.conf.cali0.proxy_ndp=1";
    let all = "sysctl net.ipv6.conf.all.proxy_ndp=1";
    assert_eq!(ask(&[dev]), (0, Some(NsReason::NotDelivered), 1), "forwarded as data");
    assert_eq!(ask(&[all]), (1, None, 0));
    // it must be on its way somewhere to be passing
    assert_eq!(ask(&[all, "ip -6 route del default"]).1, Some(NsReason::NotDelivered));
}

#[test]
fn proxied_answers_wait_in_a_queue_of_their_own() {
    let mut pair = Pair::calico();
    for command in [
        "sysctl net.ipv6.conf.cali0.proxy_ndp=1",
        "ip neigh add proxy fd00:99::1 dev cali0",
        "sysctl net.ipv6.neigh.cali0.proxy_delay=80",
        "sysctl net.ipv6.neigh.cali0.proxy_qlen=1",
    ] {
        pair.run(HOST, command);
    }
    for _ in 0..3 {
        pair.ask("fd00:99::1");
    }
    assert_eq!(pair.log.silences, [NsReason::QueueFull { limit: 1 }]);
    assert!(pair.adverts().is_empty());
    // an interface losing its last IPv4 address empties ARP's queue, not this one
    pair.run(HOST, "ip addr add 10.9.9.9/32 dev up0");
    pair.run(HOST, "ip addr del 10.9.9.9/32 dev up0");
    pair.wait(SECOND);
    assert_eq!(pair.adverts().len(), 2);
    pair.ask("fd00:99::1");
    pair.run(HOST, "ip link set up0 down");
    pair.wait(SECOND);
    assert_eq!((pair.adverts().len(), pair.log.silences.last()), (2, Some(&NsReason::QueuePurged)));
    // the entry goes with its own link
    pair.run(HOST, "ip link set cali0 down");
    assert!(pair.state(HOST).proxies().is_empty());
}

#[test]
fn announcements_are_made_when_asked_for() {
    let mut pair = Pair::new();
    pair.run(HOST, "sysctl net.ipv6.conf.all.ndisc_notify=1");
    pair.up();
    pair.wait(SECOND + SECOND);
    let (_, src, dst, NdMessage::Advert(na)) = pair.said(HOST)[1] else { panic!("{:?}", pair.said(HOST)) };
    assert_eq!(
        (src, dst, na.solicited, na.replace, na.router),
        (gateway(), nd::ALL_NODES, false, true, true)
    );
    pair.run(HOST, "ip link set cali0 address 02:00:00:00:00:09");
    assert_eq!(pair.adverts().last().unwrap().mac, Some(Mac([2, 0, 0, 0, 0, 9])));
}

#[test]
fn a_proxied_answer_comes_from_an_address_that_reaches_the_asker() {
    let pair = Pair::calico();
    let mut state = pair.state(HOST).clone();
    for command in ["ip neigh add proxy fd00:99::1 dev cali0", "sysctl net.ipv6.conf.all.proxy_ndp=1"] {
        state.apply(&crate::common::change(command)).unwrap();
    }
    let target = ip6("fd00:99::1");
    let source = |state: &HostState, src: &str| {
        let ns = Solicit { target, source: Some(POD_MAC), nonce: None };
        let request = NsRequest {
            dev: pair.dev(HOST),
            cast: Cast::Multicast,
            src: ip6(src),
            dst: nd::solicited_node(target),
            hop_limit: 255,
            ns,
            own_nonce: false,
            sender_known: false,
            again: false,
        };
        match decide_ns(state, &request) {
            NsDecision::Reply { reply, .. } => Ok((reply.src, reply.dst)),
            NsDecision::Silent(reason) => Err(reason),
        }
    };
    assert_eq!(source(&state, "fe80::aff:fe41:2"), Ok((gateway(), ip6("fe80::aff:fe41:2"))));
    assert_eq!(source(&state, "fd00:65::2"), Ok((ip6("fd00:77::2"), ip6("fd00:65::2"))));
    assert_eq!(source(&state, "::").map_err(|r| r.pointer().code), Err("bad-test"));
    state.apply(&crate::common::change(&format!("ip addr del {}/64 dev cali0", gateway()))).unwrap();
    assert_eq!(source(&state, "fe80::aff:fe41:2"), Err(NsReason::NoSource));
}

/// A node whose gateway address is past its test, and a solicitation for it.
fn asked6(commands: &[&str], to_group: bool, src: &str) -> Option<NsReason> {
    let mut host = HostState::new();
    let first = [
        "sysctl -w net.ipv6.conf.default.accept_dad=0",
        "ip link set lo up",
        "ip link add cali0 address ee:ee:ee:ee:ee:ee type ethernet",
        "ip link set cali0 up",
    ];
    for text in first.iter().chain(commands) {
        host.apply(&text.parse().unwrap()).unwrap();
    }
    let target = gateway();
    let dst = if to_group { nd::solicited_node(target) } else { target };
    let ns = Solicit { target, source: Some(POD_MAC), nonce: None };
    let dev = host.link_named("cali0".parse().unwrap()).unwrap().index();
    let cast = if to_group { Cast::Broadcast } else { Cast::Host };
    let (own_nonce, sender_known, again) = (false, true, false);
    let src = src.parse().unwrap();
    let request = NsRequest { dev, cast, src, dst, hop_limit: 255, ns, own_nonce, sender_known, again };
    decide_ns(&host, &request).reason()
}

#[test]
fn a_solicitation_goes_through_the_rules_before_it_is_read() {
    // each line was seen on 6.18
    let pod = "fe80::7";
    let both = |commands: &[&str]| [true, false].map(|group| asked6(commands, group, pod).is_none());
    assert_eq!(both(&[]), [true, true]);
    assert_eq!(both(&["ip -6 rule add iif cali0 prohibit"]), [true, true], "the local table is the first");
    assert_eq!(both(&["ip -6 rule del priority 0"]), [true, true], "without a rule added none is walked");
    let gone =
        ["ip -6 rule add priority 9 prohibit", "ip -6 rule del priority 9", "ip -6 rule del priority 0"];
    assert_eq!(both(&gone), [false, false]);
    let late = ["ip -6 rule del priority 0", "ip -6 rule add priority 100 lookup local"];
    assert_eq!(both(&late), [true, true]);
    for (rule, seen) in [
        ("iif cali0 prohibit", [false, false]),
        ("to ff02::/16 unreachable", [false, true]),
        ("to fe80::/10 blackhole", [true, false]),
        ("iif lo prohibit", [true, true]),
        ("from 2001:db8:42::7 blackhole", [true, true]),
        ("iif cali0 lookup 100", [true, true]),
    ] {
        let rule = format!("ip -6 rule add priority 50 {rule}");
        assert_eq!(both(&[late[0], late[1], &rule]), seen, "{rule}");
    }
    assert_eq!(both(&[late[0], late[1], "ip -6 rule flush"]), [false, false]);
    assert_eq!(asked6(&gone, false, pod), Some(NsReason::NotDelivered));
}

#[test]
fn packets_of_a_pod_go_by_the_tables_that_rules_lead_to() {
    use arplab::host::{FibMiss, Flow6, Way6};
    let mut host = HostState::new();
    let mut run = |text: &str| host.apply(&text.parse().unwrap()).map(drop);
    for text in [
        "ip link add cali0 type ethernet",
        "ip link add up0 type ethernet",
        "ip link set cali0 up",
        "ip link set up0 up",
        "ip -6 route add default dev up0",
        "ip -6 rule add from 2001:db8:42::/64 lookup 100",
        "ip -6 route add unreachable 2001:db8:1::/48 table 100",
        "ip -6 route add throw 2001:db8:2::/48 table 100",
        "ip -6 route add default dev cali0 table 100",
    ] {
        run(text).unwrap();
    }
    let cali = host.link_named("cali0".parse().unwrap()).unwrap().index();
    let way = |host: &HostState, dst: &str, src: &str| match host.fib6_lookup(&Flow6::input(
        dst.parse().unwrap(),
        src.parse().unwrap(),
        cali,
    )) {
        Ok(Way6::Route(route)) => route.dev.map_or("rejects".to_owned(), |d| host.name_of(d).to_string()),
        Ok(Way6::Local) => "local".to_owned(),
        Err(FibMiss::Rule { priority, .. }) => format!("rule {priority}"),
        Err(_) => "none".to_owned(),
    };
    assert_eq!(way(&host, "2001:db8:9::9", "2001:db8:42::7"), "cali0");
    assert_eq!(way(&host, "2001:db8:9::9", "2001:db8:43::7"), "up0");
    assert_eq!(way(&host, "2001:db8:1::9", "2001:db8:42::7"), "rejects");
    assert_eq!(way(&host, "2001:db8:2::9", "2001:db8:42::7"), "up0", "throw ends its table only");
    host.apply(&"ip -6 rule add priority 5 to 2001:db8:9::9 suppress_prefixlength 0".parse().unwrap())
        .unwrap();
    assert_eq!(way(&host, "2001:db8:9::9", "2001:db8:42::7"), "cali0", "the default route is passed over");
    host.apply(&"ip -6 rule add priority 4 to 2001:db8:9::9 prohibit".parse().unwrap()).unwrap();
    assert_eq!(way(&host, "2001:db8:9::9", "2001:db8:42::7"), "rule 4");
}
