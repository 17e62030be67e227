//! The thread that lives in a namespace and runs other threads' closures there.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
};

use crate::rtnl::Local;

/// What the namespace's thread owns besides its place in the namespace.
#[derive(Default)]
pub(crate) struct Worker {
    /// Runtime and rtnetlink connection of the blocking facade, made at its first use.
    pub(crate) rtnl: Option<Local>,
}

/// A closure for the namespace's thread.
pub(super) type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// Runs jobs until the last sender is gone.
pub(super) fn serve(jobs: &mpsc::Receiver<Job>) {
    let mut worker = Worker::default();
    while let Ok(job) = jobs.recv() {
        job(&mut worker);
    }
}

/// Fields drop in this order: were a task dropped without having run, its borrows would end
/// before the waiting caller is told.
struct Task<F, T> {
    work: F,
    reply: mpsc::SyncSender<thread::Result<T>>,
}

impl<F: FnOnce(&mut Worker) -> T, T> Task<F, T> {
    fn run(self, worker: &mut Worker) {
        let Self { work, reply } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| work(worker)));
        // The caller waits without a time limit, so this cannot fail.
        let _ = reply.send(outcome);
    }
}

/// Runs `work` on the thread behind `jobs` and waits for it. `None` if that thread has ended.
pub(super) fn run_there<'env, T, F>(jobs: &mpsc::Sender<Job>, work: F) -> Option<thread::Result<T>>
where
    F: FnOnce(&mut Worker) -> T + Send + 'env,
    T: Send + 'env,
{
    let (reply, answer) = mpsc::sync_channel(1);
    let task = Task { work, reply };
    let job: Box<dyn FnOnce(&mut Worker) + Send + 'env> = Box::new(move |worker| task.run(worker));
    // SAFETY: only the lifetime changes. This function does not return, and nothing in it
    // panics, before `answer` yields: either a message, which the task sends after `work` and
    // all it borrowed have been consumed, or disconnection, which follows the drop of `work`
    // (field order of `Task`). So no borrow of 'env is used after this call. What may outlive
    // the call is the sender inside the finished task, whose channel is then empty.
    let job = unsafe {
        mem::transmute::<Box<dyn FnOnce(&mut Worker) + Send + 'env>, Box<dyn FnOnce(&mut Worker) + Send>>(job)
    };
    match jobs.send(job) {
        Ok(()) => answer.recv().ok(),
        // The unsent job is dropped here, within 'env.
        Err(_unsent) => None,
    }
}

/// The words of a panic, as `panic!` leaves them.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
