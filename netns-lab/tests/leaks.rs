//! What is dropped is gone from this process: alone in its program, because it counts.

mod common;

use std::{fs, time::Instant};

use netns_lab::{Monitor, Netns, PacketOptions, PacketSocket, raise_open_file_limit};

lab_tests! { drops_return_threads_and_descriptors }

fn count(path: &str) -> usize {
    fs::read_dir(path).expect("a list").count()
}

/// Descriptors and threads of this process.
fn holdings() -> (usize, usize) {
    (count("/proc/self/fd"), count("/proc/self/task"))
}

fn drops_return_threads_and_descriptors() {
    raise_open_file_limit().expect("a limit");
    // Whatever is made once for the whole process is made now.
    drop(used(1));
    let before = holdings();
    let many = used(100);
    let (descriptors, threads) = holdings();
    assert_eq!(threads, before.1 + 100, "one thread each");
    // The namespace, the blocking facade, a monitor and a packet socket.
    assert!(descriptors <= before.0 + 100 * 8, "{before:?} became {:?}", (descriptors, threads));
    drop(many);
    assert_eq!(holdings(), before);
    let bare: Vec<_> = (0..100).map(|_| Netns::new("bare").expect("a namespace")).collect();
    assert_eq!(holdings(), (before.0 + 100, before.1 + 100), "one descriptor and one thread each");
    let panics = bare[0].exec(|| panic!("on purpose"));
    assert!(panics.is_err());
    drop(bare);
    assert_eq!(holdings(), before);
    handles_end_their_tasks();
}

/// The task behind an async handle ends with its last clone, and closes the socket.
fn handles_end_their_tasks() {
    let netns = Netns::new("handles").expect("a namespace");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = holdings();
    runtime.block_on(async {
        let handles: Vec<_> = (0..20).map(|_| netns.rtnl().expect("a handle")).collect();
        for handle in &handles {
            assert_eq!(handle.clone().links().await.expect("links").len(), 1);
        }
        assert_eq!(holdings().0, before.0 + 20, "one descriptor each");
        drop(handles);
        let begun = Instant::now();
        while holdings() != before {
            assert!(begun.elapsed() < common::PATIENCE, "{before:?} became {:?}", holdings());
            tokio::task::yield_now().await;
        }
    });
}

fn used(count: usize) -> Vec<(Netns, Monitor, PacketSocket)> {
    (0..count)
        .map(|_| {
            let netns = Netns::new("used").expect("a namespace");
            netns.loopback_up().expect("up");
            let monitor = Monitor::open(&netns).expect("a monitor");
            let socket = PacketSocket::open(&netns, "lo", &PacketOptions::new()).expect("a socket");
            (netns, monitor, socket)
        })
        .collect()
}
