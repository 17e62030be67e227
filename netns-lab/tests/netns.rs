//! Namespaces and their threads.

mod common;

use std::{
    fs,
    os::fd::AsFd,
    process::Command,
    sync::{Arc, Mutex},
    time::Instant,
};

use netns_lab::{ExecError, Netns, RtnlError, rtnl::VethEnd};

lab_tests! {
    closures_run_in_the_namespace,
    closures_borrow_from_the_caller,
    a_panic_is_an_error_and_the_next_call_works,
    async_closures_do_not_hold_up_the_executor,
    calls_from_within_do_not_wait_for_themselves,
    many_threads_share_one_namespace,
    children_are_born_in_the_namespace,
    attaching_is_the_same_namespace,
    loopback_comes_up,
    a_handle_keeps_the_namespace,
    dropping_on_its_own_thread_does_not_hang,
    two_hundred_quickly,
}

fn inode_here() -> u64 {
    let link = fs::read_link("/proc/thread-self/ns/net").expect("a link");
    let text = link.display().to_string();
    text.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
}

fn closures_run_in_the_namespace() {
    let before = inode_here();
    let (a, b) = (Netns::new("a").expect("a namespace"), Netns::new("b").expect("a namespace"));
    assert_eq!(a.exec(inode_here), Ok(a.id().inode));
    assert_eq!(b.exec(inode_here), Ok(b.id().inode));
    assert_ne!(a.id(), b.id());
    assert_eq!(inode_here(), before, "the caller stays where it is");
    let devices = a.exec(|| fs::read_to_string("/proc/thread-self/net/dev").expect("a list")).expect("run");
    assert_eq!(devices.lines().skip(2).count(), 1, "only lo:\n{devices}");
    assert_eq!(a.exec(|| std::thread::current().name().map(str::to_owned)), Ok(Some("a".into())));
}

fn closures_borrow_from_the_caller() {
    let netns = Netns::new("borrow").expect("a namespace");
    let words = ["one".to_owned(), "two".to_owned()];
    let mut seen = Vec::new();
    let longest = netns.exec(|| {
        seen.extend(words.iter().map(String::len));
        words.iter().max_by_key(|word| word.len()).map(String::as_str)
    });
    assert_eq!(longest, Ok(Some("two")));
    assert_eq!(seen, [3, 3]);
}

fn a_panic_is_an_error_and_the_next_call_works() {
    let netns = Netns::new("panics").expect("a namespace");
    let borrowed = Mutex::new(0);
    for round in 1..=3 {
        let outcome = netns.exec(|| {
            *borrowed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
            assert!(round == 0, "round {round} fails on purpose");
        });
        let wanted = ExecError::Panicked {
            label: "panics".into(),
            message: format!("round {round} fails on purpose"),
        };
        assert_eq!(outcome, Err(wanted));
        assert_eq!(netns.exec(inode_here), Ok(netns.id().inode));
    }
    assert_eq!(*borrowed.lock().expect("not poisoned"), 3);
    let in_request: Result<(), _> = netns.blocking().run(async |_rtnl| panic!("in a request"));
    assert!(matches!(in_request, Err(RtnlError::Exec(ExecError::Panicked { .. }))), "{in_request:?}");
    assert_eq!(netns.blocking().links().expect("links").len(), 1, "the runtime there survives it too");
}

fn async_closures_do_not_hold_up_the_executor() {
    let netns = Netns::new("async").expect("a namespace");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (go, wait) = std::sync::mpsc::channel();
    let inode = runtime.block_on(async {
        let held = netns.exec_async(move || {
            wait.recv().expect("the word");
            inode_here()
        });
        // On the only thread of this runtime: were it held up, nobody would give the word.
        let (inode, ()) = tokio::join!(held, async move { go.send(()).expect("sent") });
        inode
    });
    assert_eq!(inode, Ok(netns.id().inode));
    let panicked = runtime.block_on(netns.exec_async(|| panic!("on purpose")));
    assert!(matches!(panicked, Err(ExecError::Panicked { .. })), "{panicked:?}");
}

fn calls_from_within_do_not_wait_for_themselves() {
    let netns = Netns::new("within").expect("a namespace");
    let inner = netns.exec(|| netns.exec(inode_here)).expect("run");
    assert_eq!(inner, Ok(netns.id().inode));
    let request = netns.exec(|| netns.blocking().links()).expect("run");
    assert!(matches!(request, Err(RtnlError::Exec(ExecError::Reentrant { .. }))), "{request:?}");
}

fn many_threads_share_one_namespace() {
    let netns = Netns::new("shared").expect("a namespace");
    std::thread::scope(|scope| {
        let netns = &netns;
        for number in 0..8 {
            scope.spawn(move || {
                for round in 0..50 {
                    assert_eq!(netns.exec(|| number * 1000 + round), Ok(number * 1000 + round));
                }
            });
        }
    });
}

fn children_are_born_in_the_namespace() {
    let netns = Netns::new("parent").expect("a namespace");
    let output = netns.exec(|| Command::new("readlink").arg("/proc/self/ns/net").output()).expect("run");
    let output = output.expect("readlink");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), netns.id().to_string());
}

fn attaching_is_the_same_namespace() {
    let netns = Netns::new("first").expect("a namespace");
    netns.blocking().add_bridge("mark").expect("a bridge");
    let again = Netns::attach("again", netns.as_fd().try_clone_to_owned().expect("a descriptor"));
    let again = again.expect("a thread");
    assert_eq!(again.id(), netns.id());
    drop(netns);
    assert!(again.blocking().link("mark").is_ok(), "the second thread keeps it");
    let no_netns = fs::File::open("/dev/null").expect("a file").into();
    let error = Netns::attach("no", no_netns).expect_err("not a namespace").to_string();
    assert!(error.contains("`no`") && error.contains("EINVAL"), "{error}");
    let here = Netns::current("here").expect("a thread");
    assert_eq!(here.exec(inode_here), Ok(inode_here()));
}

fn loopback_comes_up() {
    let netns = Netns::new("lo").expect("a namespace");
    assert!(!netns.blocking().link("lo").expect("lo").up);
    netns.loopback_up().expect("up");
    assert!(netns.blocking().link("lo").expect("lo").up);
    let ping = netns.exec(|| {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.send_to(b"x", server.local_addr().expect("an address")).expect("sent");
        server.recv(&mut [0; 8]).expect("received")
    });
    assert_eq!(ping, Ok(1));
}

fn a_handle_keeps_the_namespace() {
    common::block_on(async {
        let netns = Netns::new("kept").expect("a namespace");
        let rtnl = netns.rtnl().expect("a handle");
        drop(netns);
        rtnl.add_bridge("still").await.expect("the namespace is there");
        assert_eq!(rtnl.links().await.expect("links").len(), 2);
    });
}

fn dropping_on_its_own_thread_does_not_hang() {
    let netns = Arc::new(Netns::new("own").expect("a namespace"));
    let (dropped, wait) = std::sync::mpsc::channel();
    let last = Arc::clone(&netns);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // The closure is sent off and not waited for, then ours is dropped: the last one goes on
    // the namespace's own thread.
    let (go, hold) = std::sync::mpsc::channel::<()>();
    let sent = netns.exec_async(move || {
        let _ = hold.recv();
        drop(last);
        dropped.send(()).expect("sent");
    });
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = sent => unreachable!("it is held"),
            () = std::future::ready(()) => {}
        }
    });
    drop(netns);
    drop(go);
    wait.recv().expect("it was dropped there");
}

fn two_hundred_quickly() {
    let node = Netns::new("node").expect("a namespace");
    let begun = Instant::now();
    let pods: Vec<_> = (0..200)
        .map(|number| {
            let pod = Netns::new(format!("pod{number}")).expect("a namespace");
            let end = VethEnd::new(format!("v{number}")).up();
            node.blocking().add_veth(&end, &VethEnd::new("eth0").in_netns(&pod)).expect("a veth");
            pod
        })
        .collect();
    eprintln!("200 namespaces with a veth each: {:?}", begun.elapsed());
    let ids: std::collections::HashSet<_> = pods.iter().map(Netns::id).collect();
    assert_eq!(ids.len(), 200);
    let begun = Instant::now();
    drop(pods);
    eprintln!("dropped in {:?}", begun.elapsed());
}
