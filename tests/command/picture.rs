//! The page of `--html`, as a browser shows it: Chromium without a network, driven over the pipe of its
//! own protocol.

use crate::run::{arplab, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Turns a test that wants Chromium and finds none into a failed one, if it is `1`.
const REQUIRE_CHROMIUM: &str = "ARPLAB_REQUIRE_CHROMIUM";

/// A browser with one page. It ends with this, and by itself when its pipe is closed.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    _home: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is no Chromium, or where it may have no network of its own.
    pub(crate) fn open(page: &Path) -> Option<Browser> {
        let home = tempfile::tempdir().expect("a directory");
        // the pipe of the protocol is descriptors 3 and 4
        let script = "exec chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
                      --window-size=1200,900 --remote-debugging-pipe \"--user-data-dir=$HOME\" \
                      3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let isolated = |what: &str| {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--net", "sh", "-c", what]).env("HOME", home.path());
            command
        };
        let there = isolated("command -v chromium").output().is_ok_and(|o| o.status.success());
        if !there {
            let required = std::env::var(REQUIRE_CHROMIUM).as_deref() == Ok("1");
            assert!(!required, "{REQUIRE_CHROMIUM}=1, but there is no chromium, or unshare is refused");
            return None;
        }
        let mut child =
            isolated(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a browser");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut browser =
            Browser { child, to, from: BufReader::new(from), session: None, calls: 0, _home: home };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        let watch = "window.faults = []; addEventListener('error', (e) => faults.push(String(e.message)));";
        browser.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": watch }));
        browser.call("Page.enable", &json!({}));
        browser.call("Page.navigate", &json!({ "url": format!("file://{}", page.display()) }));
        let shown = "new Promise((done) => { const wait = () => document.readyState === 'complete' && \
                     document.querySelector('svg [role=button]') ? done(true) : setTimeout(wait, 20); wait(); })";
        // the page that is left may still be asked; it has no such thing
        while !browser.ask("location.protocol === 'file:'").as_bool().unwrap_or(false) {}
        assert_eq!(browser.ask(shown), true);
        Some(browser)
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser hears");
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).expect("the browser speaks");
            assert_eq!(answer.pop(), Some(0), "the browser has ended");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// After the next frame has been drawn.
    fn drawn(&mut self) {
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))");
    }

    pub(crate) fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key });
            match key {
                "Tab" => event["windowsVirtualKeyCode"] = json!(9),
                "ArrowDown" => event["windowsVirtualKeyCode"] = json!(40),
                "Enter" => {
                    event["windowsVirtualKeyCode"] = json!(13);
                    if kind == "keyDown" {
                        event["text"] = json!("\r");
                    }
                }
                _ => {}
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
        self.drawn();
    }

    /// Nanoseconds in view.
    fn span(&mut self) -> f64 {
        self.ask("view[1] - view[0]").as_f64().expect("a number")
    }

    fn told(&mut self) -> String {
        self.ask("document.getElementById('told').textContent").as_str().expect("text").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // a panic on the way here must not be a second one
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::time::Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn page(dir: &Path, args: &[&str]) -> PathBuf {
    let file = dir.join("run.html");
    let mut all = args.to_vec();
    all.extend(["--html", file.to_str().expect("UTF-8")]);
    let out = arplab(&all);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    file
}

#[test]
fn a_browser_shows_two_runs_that_can_be_zoomed_walked_and_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = page(dir.path(), &["run", "late-responder", "--beside", "plugin-configures-host"]);
    let Some(mut browser) = Browser::open(&file) else { return };
    assert_eq!(browser.ask("document.querySelectorAll('svg').length"), 2);
    assert_eq!(browser.ask("document.querySelectorAll('rect.window').length"), 1, "the fix leaves no window");

    // the wheel with Shift zooms in where it points, Ctrl, + and 0 as well
    let all = browser.span();
    let wheel =
        json!({ "type": "mouseWheel", "x": 600, "y": 330, "deltaX": 0, "deltaY": -200, "modifiers": 8 });
    browser.call("Input.dispatchMouseEvent", &wheel);
    browser.drawn();
    let near = browser.span();
    assert!(near < all, "{near} of {all}");
    browser.key("+");
    assert!(browser.span() < near);
    browser.key("0");
    assert!((browser.span() - all).abs() < 1.0);

    // Tab goes from lane to lane, the arrow keys in a lane
    browser.ask("document.querySelector('svg g[aria-label^=wire] [tabindex=\"0\"]').focus()");
    browser.key("ArrowRight");
    let told = browser.told();
    assert!(told.contains("pod to node: ARP, Request who-has 169.254.1.1"), "{told}");
    assert!(told.contains("no reply") && told.contains("[rp-filter-other-device]"), "{told}");
    browser.key("Tab");
    let lane = "document.activeElement.parentNode.getAttribute('aria-label')";
    assert!(browser.ask(lane).as_str().expect("a lane").starts_with("pod: 169.254.1.1"));

    // Enter on many events shows them apart, down to microseconds
    browser.ask("document.querySelector('svg g[aria-label^=cni] rect.many').focus()");
    browser.key("Enter");
    assert!(browser.span() < all / 100.0, "{} of {all}", browser.span());
    browser.ask("show(61e6, 61e6 + 1000)");
    browser.drawn();
    assert!((browser.span() - 1000.0).abs() < 1.0);

    // a reader of screens has every event in a table, and the timeline as text
    browser.key("0");
    browser.ask("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    browser.drawn();
    let rows = browser.ask("document.querySelector('table').rows.length").as_u64().expect("a number");
    assert!(rows > 100, "{rows}");
    let text = browser.ask("document.querySelector('details pre').textContent");
    assert!(text.as_str().expect("text").contains("who-has 169.254.1.1 at"));
    assert_eq!(browser.ask("faults.join()"), "");
}

/// What the events of the page are is what the JSON lines are.
#[test]
fn a_page_holds_every_frame_and_needs_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let html = std::fs::read_to_string(page(dir.path(), &["run", "late-add"])).expect("written");
    let again = std::fs::read_to_string(page(dir.path(), &["run", "late-add"])).expect("written");
    assert_eq!(html, again, "the same run is the same page");
    let data: Value = serde_json::from_str(data_text(&html)).expect("JSON");
    let run = &data["runs"][0];
    let wire = run["lanes"].as_array().expect("lanes").iter().position(|l| l["kind"] == "wire");
    let marks = run["marks"].as_array().expect("marks").iter();
    let on_wire = marks.filter(|m| m["lane"].as_u64().map(|n| n as usize) == wire).count();
    let lines = text(&arplab(&["run", "late-add", "--json"]).stdout);
    let frames = lines.lines().filter(|l| l.contains(r#""event":"frame""#)).count();
    assert!(frames > 0);
    assert_eq!(on_wire, frames);
    // a namespace of SVG is a name and no address
    let code = html.replace(data_text(&html), "").replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "@import", "src=", "href="] {
        assert!(!code.contains(outside), "{outside}");
    }
}

fn data_text(html: &str) -> &str {
    let (_, rest) = html.split_once("id=\"data\">").expect("data");
    rest.split_once("</script>").expect("an end").0
}

#[test]
fn a_page_that_cannot_be_made_is_refused_before_the_run() {
    let refused = |args: &[&str], what: &str| {
        let out = arplab(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(text(&out.stderr).contains(what), "{}", text(&out.stderr));
        assert!(out.stdout.is_empty());
    };
    refused(&["run", "8689", "--html", "/nowhere/at/all.html"], "there is no directory /nowhere/at");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.html");
    let file = file.to_str().expect("UTF-8");
    refused(&["run", "8689", "--html", file, "--beside", "hope"], "--beside hope: there is no such run");
    refused(&["run", "8689", "--beside", "sim"], "--html");
    assert!(!Path::new(file).exists());
}
