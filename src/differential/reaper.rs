//! What is done with, taken down in the background.
//!
//! Closing a packet socket waits for the kernel to see every reader out (`synchronize_net()`),
//! some ten milliseconds each, in which nothing is done. Many threads wait at the same time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Threads that wait.
const THREADS: usize = 24;
/// What may wait for them, before whoever makes more waits too.
const QUEUE_MAX: usize = 96;

type Scrap = Box<dyn Send>;

/// Drops things elsewhere.
pub(super) struct Reaper {
    queue: Option<SyncSender<Scrap>>,
    threads: Vec<JoinHandle<()>>,
}

impl Reaper {
    pub(super) fn new() -> Reaper {
        let (queue, inbox) = sync_channel(QUEUE_MAX);
        let inbox = Arc::new(Mutex::new(inbox));
        let threads = (0..THREADS).map(|_| Arc::clone(&inbox)).map(|i| std::thread::spawn(move || serve(&i)));
        Reaper { queue: Some(queue), threads: threads.collect() }
    }

    pub(super) fn take(&self, scrap: impl Send + 'static) {
        if let Some(queue) = &self.queue {
            // with nobody there it is dropped here
            let _ = queue.send(Box::new(scrap));
        }
    }
}

fn serve(inbox: &Mutex<Receiver<Scrap>>) {
    loop {
        let next = match inbox.lock() {
            Ok(inbox) => inbox.recv(),
            Err(_) => return,
        };
        match next {
            Ok(scrap) => drop(scrap),
            Err(_) => return,
        }
    }
}

impl Drop for Reaper {
    /// Nothing is left when the lab is gone.
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
