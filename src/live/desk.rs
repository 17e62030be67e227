//! The desk of a lab that stays up: who comes to it by its socket, and what they can ask for.
//!
//! The socket is an abstract one (unix(7)), so that nothing of it is left when the process ends, however
//! it ends. A visitor sends one line of JSON and gets one back; a log and a capture follow it as they
//! grow, until the visitor or the lab goes.

use crate::addr::Side;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// The longest line of a visitor: a wish with a step's name.
const LINE_MAX: u64 = 4096;

/// So long nobody is let in when there is no descriptor for one more.
const BREATH: Duration = Duration::from_millis(50);
/// So long a visitor may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// So long the end of a lab waits for those who read its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a visitor asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Wish {
    /// What runs, and how it stands.
    Status,
    /// The way into a namespace.
    Enter {
        /// Whose.
        side: Side,
    },
    /// A held step goes on.
    Release {
        /// Its name; what is held, if one step is.
        step: Option<String>,
    },
    /// A step that is to come is held.
    Hold {
        /// Its name.
        step: String,
    },
    /// What was told, and what will be if `follow` is set.
    Log {
        /// Until the lab ends.
        follow: bool,
    },
    /// The capture, from its beginning, until the lab ends.
    Capture,
    /// The lab ends. What is told at the end follows.
    Down,
}

/// The answer to a wish.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Why it cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What is said to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The owner's process and its descriptor of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<(u32, i32)>,
}

impl Answer {
    pub(super) fn told(text: impl Into<String>) -> Answer {
        Answer { text: text.into(), ..Answer::default() }
    }

    pub(super) fn refused(why: impl Into<String>) -> Answer {
        Answer { refused: Some(why.into()), ..Answer::default() }
    }
}

/// Text or bytes that grow, and who reads them.
#[derive(Clone)]
pub struct Feed {
    bytes: Arc<Mutex<Vec<u8>>>,
    grown: Arc<watch::Sender<usize>>,
    over: Arc<AtomicBool>,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { bytes: Arc::default(), grown: Arc::new(watch::Sender::new(0)), over: Arc::default() }
    }
}

impl Feed {
    /// Nothing more will come: who follows it ends with what there is.
    fn close(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.grown.send_modify(|_| {});
    }

    /// What came after the first `from` bytes.
    fn since(&self, from: usize) -> Vec<u8> {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.get(from..).unwrap_or_default().to_vec()
    }
}

impl Write for Feed {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(more);
        self.grown.send_replace(bytes.len());
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The abstract address of a lab: one name of each user, of the machine's own network namespace.
fn address(uid: u32, name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("arplab/{uid}/{name}"))
}

/// The names of a user's labs.
pub fn names(uid: u32) -> io::Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/unix")?;
    let prefix = format!("@arplab/{uid}/");
    // those that wait for visitors: __SO_ACCEPTCON
    let waits = |line: &&str| line.split_whitespace().nth(3) == Some("00010000");
    let name = |line: &str| line.split_whitespace().nth(7)?.strip_prefix(&prefix).map(str::to_owned);
    let mut names: Vec<String> = table.lines().filter(waits).filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Goes to a lab's desk.
pub fn visit(uid: u32, name: &str) -> io::Result<StdStream> {
    StdStream::connect_addr(&address(uid, name)?)
}

/// A desk that is open; bind it before a user namespace is entered, which has another network.
pub struct Desk {
    listener: StdListener,
    /// What was told of the run.
    pub log: Feed,
    /// The capture.
    pub capture: Feed,
}

impl Desk {
    /// Opens it. A name that is taken is `AddrInUse`.
    pub fn open(uid: u32, name: &str) -> io::Result<Desk> {
        let listener = StdListener::bind_addr(&address(uid, name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Desk { listener, log: Feed::default(), capture: Feed::default() })
    }

    /// Serves visitors from now on, on a thread of its own; their wishes come to the returned end. Call it
    /// after a user namespace was entered: that wants a process with one thread.
    pub fn serve(self) -> io::Result<(Wishes, Served)> {
        let (tx, rx) = mpsc::unbounded_channel();
        let (listener, log, capture) = (self.listener, self.log, self.capture);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(listener)?
        };
        let followers = Arc::new(AtomicUsize::new(0));
        let served = Served { feeds: [log.clone(), capture.clone()], followers: Arc::clone(&followers) };
        let serve = move || {
            runtime.block_on(async {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        // no descriptor is free: those who say nothing give theirs back
                        tokio::time::sleep(BREATH).await;
                        continue;
                    };
                    let own = nix::unistd::geteuid().as_raw();
                    // an abstract address has no permissions of its own
                    if stream.peer_cred().is_ok_and(|who| who.uid() == own) {
                        let desk = Attendant {
                            tx: tx.clone(),
                            log: log.clone(),
                            capture: capture.clone(),
                            followers: Arc::clone(&followers),
                        };
                        tokio::spawn(desk.attend(stream));
                    }
                }
            });
        };
        std::thread::Builder::new().name("desk".into()).spawn(serve)?;
        Ok((Wishes(rx), served))
    }
}

/// What visitors ask for, as it comes.
pub struct Wishes(pub(super) mpsc::UnboundedReceiver<Asked>);

/// The desk at work.
pub struct Served {
    feeds: [Feed; 2],
    followers: Arc<AtomicUsize>,
}

impl Served {
    /// The lab has ended and all is told: waits a little until those who follow have read it.
    pub fn finish(self) {
        self.feeds.iter().for_each(Feed::close);
        let begun = Instant::now();
        while self.followers.load(Ordering::SeqCst) > 0 && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A wish that waits for its answer.
pub(super) struct Asked {
    pub(super) wish: Wish,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Who attends to one visitor.
struct Attendant {
    tx: mpsc::UnboundedSender<Asked>,
    log: Feed,
    capture: Feed,
    followers: Arc<AtomicUsize>,
}

impl Attendant {
    async fn attend(self, mut stream: UnixStream) {
        // a visitor who leaves is no error
        let _ = self.attend_to(&mut stream).await;
    }

    async fn attend_to(&self, stream: &mut UnixStream) -> io::Result<()> {
        let mut line = String::new();
        let mut reader = BufReader::new(&mut *stream).take(LINE_MAX);
        // one who says nothing is shown out
        timeout(PATIENCE, reader.read_line(&mut line)).await.map_err(io::Error::other)??;
        let wish = match serde_json::from_str::<Wish>(&line) {
            Ok(wish) => wish,
            Err(e) => return reply(stream, &Answer::refused(format!("no wish: {e}"))).await,
        };
        match &wish {
            Wish::Log { follow } => {
                reply(stream, &Answer::default()).await?;
                self.flow(stream, &self.log, 0, *follow).await
            }
            Wish::Capture => {
                reply(stream, &Answer::default()).await?;
                self.flow(stream, &self.capture, 0, true).await
            }
            Wish::Down => {
                let told = *self.log.grown.borrow();
                reply(stream, &self.ask(wish).await?).await?;
                self.flow(stream, &self.log, told, true).await
            }
            Wish::Enter { .. } => {
                reply(stream, &self.ask(wish).await?).await?;
                // the visitor hears of the lab's end by the end of this
                let mut nothing = [0];
                while stream.read(&mut nothing).await? > 0 {}
                Ok(())
            }
            Wish::Status | Wish::Release { .. } | Wish::Hold { .. } => {
                reply(stream, &self.ask(wish).await?).await
            }
        }
    }

    async fn ask(&self, wish: Wish) -> io::Result<Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the lab has ended");
        self.tx.send(Asked { wish, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Passes on what a feed has and gets.
    async fn flow(&self, stream: &mut UnixStream, feed: &Feed, from: usize, follow: bool) -> io::Result<()> {
        self.followers.fetch_add(1, Ordering::SeqCst);
        let flowed = flow(stream, feed, from, follow).await;
        self.followers.fetch_sub(1, Ordering::SeqCst);
        flowed
    }
}

async fn reply(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn flow(stream: &mut UnixStream, feed: &Feed, mut from: usize, follow: bool) -> io::Result<()> {
    let mut grown = feed.grown.subscribe();
    loop {
        grown.borrow_and_update();
        let more = feed.since(from);
        from += more.len();
        stream.write_all(&more).await?;
        if !follow || (feed.over.load(Ordering::SeqCst) && feed.since(from).is_empty()) {
            return Ok(());
        }
        // the sender lives as long as this feed does
        let _ = grown.changed().await;
    }
}
