//! Neighbour and proxy entries through rtnetlink, in real namespaces.

mod common;

use std::net::IpAddr;

use common::joined;
use netns_lab::{
    Errno, MacAddr,
    rtnl::{Neighbour, NudState},
};

lab_tests! {
    entries_round_trip,
    replacing_changes_mac_and_state,
    proxy_entries_are_a_table_of_their_own,
    async_dumps_agree_with_blocking_ones,
}

const MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 9]);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn entries_round_trip() {
    let (node, _pod) = joined();
    let net = node.blocking();
    // Delay and Probe would move on by themselves while we look.
    let states = [NudState::Permanent, NudState::Stale, NudState::Reachable, NudState::NoArp];
    for (last, state) in (1..).zip(states) {
        for address in [format!("10.0.0.{last}"), format!("fd00::{last}")] {
            let entry = Neighbour::new("host0", ip(&address), MAC, state);
            net.add_neighbour(&entry).unwrap_or_else(|error| panic!("{error}"));
            assert!(net.add_neighbour(&entry).expect_err("twice").already_exists());
            let found = net.neighbours().expect("neighbours");
            let got = found.iter().find(|one| one.address == entry.address).expect("it is there");
            assert_eq!((got.mac, got.state, &got.dev), (entry.mac, state, &entry.dev), "{got}");
            net.delete_neighbour(&entry).expect("a deletion");
        }
    }
    let gone = net.delete_neighbour(&Neighbour::new("host0", ip("10.0.0.99"), MAC, NudState::Stale));
    assert_eq!(gone.expect_err("none such").errno(), Some(Errno::ENOENT));
}

fn replacing_changes_mac_and_state() {
    let (node, _pod) = joined();
    let net = node.blocking();
    let entry = Neighbour::new("host0", ip("169.254.1.1"), MAC, NudState::Stale);
    net.replace_neighbour(&entry).expect("made");
    let wrong = Neighbour { mac: Some(MacAddr([0x06; 6])), state: NudState::Permanent, ..entry };
    net.replace_neighbour(&wrong).expect("overwritten");
    let found = net.neighbours().expect("neighbours");
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    let wanted = "169.254.1.1 dev host0 lladdr 06:06:06:06:06:06 PERMANENT";
    assert!(texts.iter().any(|text| text == wanted), "{texts:#?}");
}

fn proxy_entries_are_a_table_of_their_own() {
    let (node, _pod) = joined();
    let net = node.blocking();
    let entries = [Neighbour::proxy("host0", ip("169.254.1.1")), Neighbour::proxy("host0", ip("fd00::1"))];
    for entry in &entries {
        net.add_neighbour(entry).unwrap_or_else(|error| panic!("{error}"));
        assert!(net.proxies().expect("proxies").contains(entry), "{entry}");
        assert!(net.neighbours().expect("neighbours").iter().all(|one| one.address != entry.address));
    }
    for entry in &entries {
        net.delete_neighbour(entry).expect("a deletion");
    }
    assert_eq!(net.proxies().expect("proxies"), []);
}

fn async_dumps_agree_with_blocking_ones() {
    let (node, _pod) = joined();
    let entry = Neighbour::new("host0", ip("10.0.0.1"), MAC, NudState::Permanent);
    let from_tasks = common::block_on(async {
        let rtnl = node.rtnl().expect("a handle");
        rtnl.add_neighbour(&entry).await.expect("an entry");
        // Many requests at once on one socket: each gets its own answer.
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let rtnl = rtnl.clone();
                tokio::spawn(async move {
                    let neighbours = rtnl.neighbours().await?;
                    let absent = rtnl.link("absent").await.is_err();
                    Ok::<_, netns_lab::RtnlError>((neighbours, absent))
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.expect("the task").expect("neighbours"));
        }
        all
    });
    let abandoned = common::block_on(async {
        let rtnl = node.rtnl().expect("a handle");
        for _ in 0..20 {
            // Polled once, which sends the request, and given up.
            let mut dump = std::pin::pin!(rtnl.neighbours());
            tokio::select! {
                biased;
                _ = &mut dump => {}
                () = tokio::task::yield_now() => {}
            }
        }
        rtnl.neighbours().await
    });
    assert!(abandoned.is_ok(), "{abandoned:?}");
    for (neighbours, absent) in from_tasks {
        assert!(absent);
        assert!(neighbours.iter().any(|one| one.address == entry.address && one.mac == entry.mac));
    }
}
