//! The lessons: which answer is right follows from the run, and everything that is said of it is true of it.

use crate::picture::Browser;
use crate::run::{arplab, command, text};
use arplab::lesson::{Lesson, Playing, lesson, lessons, letter};
use arplab::scenario::{Overrides, mitigation};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Output, Stdio};

/// What a lesson's variations do to its run, the run as it is first.
fn runs(lesson: &Lesson) -> Vec<Overrides> {
    let mut runs = vec![Overrides::default()];
    for vary in &lesson.variations {
        let mut changes =
            Overrides { fixes: vary.fix.clone(), holds: vary.hold.clone(), ..Overrides::default() };
        vary.with.iter().for_each(|name| changes.with(&mitigation(name).expect("a mitigation").name));
        runs.push(changes);
    }
    runs
}

#[test]
fn one_answer_is_right_and_each_wrong_one_is_told_why() {
    assert!(lessons().len() >= 8);
    for lesson in lessons() {
        for (changes, seed) in runs(lesson).iter().flat_map(|run| (1..=12).map(move |seed| (run, seed))) {
            let playing = Playing::of(lesson, changes, seed).expect("it can be played");
            let which = format!("{}, seed {seed}, {changes:?}", lesson.id);
            let right = playing.right().expect("its conditions are sound");
            assert_eq!(right.len(), 1, "{which}: {right:?}");
            assert!(!playing.explanation().expect("sound").is_empty(), "{which}");
            for choice in (0..lesson.choices.len()).filter(|at| *at != right[0]) {
                let why = playing.why_wrong(choice).expect("sound");
                assert!(why.is_some_and(|why| why.len() > 10), "{which}: {}", letter(choice));
            }
        }
    }
}

#[test]
fn a_run_that_is_changed_as_a_lesson_says_has_another_answer() {
    for lesson in lessons() {
        assert!(!lesson.variations.is_empty(), "{}", lesson.id);
        let right = |run: &Overrides| Playing::of(lesson, run, 1).expect("played").right().expect("sound");
        let all: Vec<Vec<usize>> = runs(lesson).iter().map(right).collect();
        for (changed, vary) in all[1..].iter().zip(&lesson.variations) {
            assert_ne!(*changed, all[0], "{}:{}", lesson.id, vary.options());
        }
    }
    // a hold alone does it, and one that the lesson knows nothing of
    let pods_side = lesson("pods-side").expect("it is there");
    let right = |hold: &str| {
        let changes = Overrides { holds: vec![hold.parse().expect("a hold")], ..Overrides::default() };
        Playing::of(pods_side, &changes, 1).expect("played").right().expect("sound")
    };
    assert_eq!(right("felix.iface-seen=2s"), right("felix.iface-seen=1s"));
    assert_ne!(right("felix.iface-seen=2s"), right("felix.iface-seen=7s"));
}

/// A word that stands for nothing in any run would be a line that is missed.
#[test]
fn what_is_to_be_looked_at_is_there() {
    for lesson in lessons() {
        let rows: Vec<String> = runs(lesson)
            .iter()
            .flat_map(|run| arplab::trace::rows(&Playing::of(lesson, run, 1).expect("played").trace))
            .map(|row| row.text)
            .collect();
        for word in &lesson.show {
            assert!(rows.iter().any(|row| row.contains(word)), "{}: {word:?}", lesson.id);
        }
    }
}

/// Plays a lesson with that on its standard input.
fn piped(lesson: &str, input: &str) -> Output {
    let mut learn = command(&["learn", lesson]);
    learn.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = learn.spawn().expect("it starts");
    // who has heard enough does not read on
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

#[test]
fn each_lesson_is_played_with_each_answer_from_options_and_from_a_pipe() {
    for lesson in lessons() {
        let mut right = BTreeSet::new();
        for at in 0..lesson.choices.len() {
            let answer = letter(at).to_string();
            let out = arplab(&["learn", &lesson.id, "--answer", &answer]);
            assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
            let said = text(&out.stdout);
            let verdict: Vec<&str> = said.lines().filter(|l| l.contains(" is right.")).collect();
            assert_eq!(verdict.len(), usize::from(verdict.iter().any(|l| l.contains("Yes"))), "{said}");
            if let [yes] = verdict[..] {
                assert!(yes.contains(&format!("Yes, {answer} is right.")), "{yes}");
                right.insert(answer.clone());
            } else {
                assert!(said.contains("\n  Right is "), "{said}");
            }
            let out = piped(&lesson.number.to_string(), &format!("what?\n {}\n", answer.to_uppercase()));
            assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
            let heard = text(&out.stdout);
            assert!(heard.contains("Please answer a, b"), "{heard}");
            let rest = |t: &str| t.split_once("\nLook\n").expect("it is told").1.to_owned();
            assert_eq!(rest(&heard), rest(&said), "the same is told");
        }
        assert_eq!(right.len(), 1, "{}: {right:?}", lesson.id);
    }
}

#[test]
fn lessons_fit_the_width_they_are_given() {
    for width in [60, 80, 100] {
        for lesson in lessons() {
            let mut learn = command(&["learn", &lesson.id, "--answer", "a"]);
            let out = learn.env("COLUMNS", width.to_string()).output().expect("it starts");
            for line in text(&out.stdout).lines() {
                assert!(line.chars().count() <= width, "{}, {width} columns: {line}", lesson.id);
            }
        }
    }
}

#[test]
fn what_is_to_be_tried_can_be_typed() {
    let dir = tempfile::tempdir().expect("a directory");
    // what takes seconds is run by the tests of its own pages, and only parsed here
    let slow = ["identify", "matrix", "why-a-minute", "delays", "explore"];
    let typed = |line: &str| {
        let words: Vec<&str> = line.strip_prefix("arplab ").expect("a command").split(' ').collect();
        if slow.contains(&words[0]) {
            let parsed = arplab::cli::command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
            return;
        }
        let out = command(&words).current_dir(dir.path()).output().expect("it starts");
        assert_eq!(out.status.code(), Some(0), "{line}: {}", text(&out.stderr));
    };
    for lesson in lessons() {
        lesson.attempts.iter().for_each(|attempt| typed(&attempt.command));
        for vary in &lesson.variations {
            typed(&format!("arplab learn {}{} --answer a", lesson.number, vary.options()));
        }
        let playing = Playing::of(lesson, &Overrides::default(), 1).expect("played");
        typed(&playing.command());
        let live = playing.live_command().unwrap_or_default();
        let words = live.split(' ').filter(|w| !w.is_empty());
        assert!(arplab::cli::command().try_get_matches_from(words).is_ok(), "{live}");
    }
}

#[test]
fn bad_input_is_answered() {
    let cases: [(&[&str], &str); 6] = [
        (&["learn", "who-answer", "--answer", "a"], "did you mean who-answers?"),
        (&["learn", "99", "--answer", "a"], "numbered 1 to"),
        (&["learn", "1", "--answer", "z"], "none of the choices of lesson 1: a, b, c or d"),
        (&["learn", "1", "--answer", "a", "--fix", "no-such"], "has no fix"),
        (&["learn", "3", "--answer", "a", "--hold", "felix.iface-sean=5s"], "felix.iface-seen"),
        (&["learn", "--html", "/proc/nowhere"], "making the directory /proc/nowhere failed"),
    ];
    for (args, want) in cases {
        let out = arplab(args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(want), "{args:?}: {said}");
    }
    for (input, want) in [("", "no prediction came"), ("y\n".repeat(100).as_str(), "none of them is")] {
        let out = piped("1", input);
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains(want), "{}", text(&out.stderr));
    }
}

#[test]
fn a_class_has_a_page_for_each_lesson() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("class/one");
    let out = arplab(&["learn", "--html", place.to_str().expect("UTF-8")]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let read = |name: &str| std::fs::read_to_string(place.join(name)).expect(name);
    let index = read("index.html");
    let mut names: BTreeSet<String> = BTreeSet::from(["index.html".to_owned()]);
    for lesson in lessons() {
        let name = arplab::lesson::file_name(lesson);
        assert!(index.contains(&format!("href=\"{name}\"")), "{name}");
        let page = read(&name);
        let right = page.matches("class=\"verdict right\"").count();
        let wrong = page.matches("class=\"verdict wrong\"").count();
        assert_eq!((right, right + wrong), (1, lesson.choices.len()), "{name}");
        let code = page.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "@import", "src="] {
            assert!(!code.contains(outside), "{name}: {outside}");
        }
        for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(place.join(link).is_file(), "{name}: {link}");
        }
        names.insert(name);
    }
    let there: BTreeSet<String> = std::fs::read_dir(&place)
        .expect("a directory")
        .map(|e| e.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(there, names, "nothing else is left there");
}

#[test]
fn a_browser_shows_the_answer_after_the_prediction() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = arplab(&["learn", "--html", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let page = dir.path().join(arplab::lesson::file_name(lesson("pods-side").expect("it is there")));
    let Some(mut browser) = Browser::open(&page) else { return };
    let seen = "[...document.querySelectorAll('.verdict, #answer')].filter((e) => e.checkVisibility())\
                .map((e) => e.id || e.dataset.choice).join()";
    assert_eq!(browser.ask(seen), "");
    // nothing is told without a prediction
    browser.ask("document.querySelector('form button').click()");
    assert_eq!(browser.ask(seen), "");
    browser.ask("document.querySelector('input').focus()");
    browser.key("ArrowDown");
    browser.key("Enter");
    assert_eq!(browser.ask(seen), "b,answer");
    assert_eq!(browser.ask("document.activeElement.className"), "verdict right");
    let wide =
        "document.querySelector('svg').clientWidth > 600 && document.querySelectorAll('rect.window').length";
    assert_eq!(browser.ask(wide), 1, "the run's picture has the window");
    assert_eq!(browser.ask("faults.join()"), "");
}
