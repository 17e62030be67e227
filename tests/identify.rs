//! identify.
use arplab::matrix::{Library, Observation, Sight, Vantage, play};
use arplab::scenario::{Overrides, catalogue};

#[test]
fn explore() {
    let all = catalogue::all().unwrap();
    let begun = std::time::Instant::now();
    let library = Library::new(&all).unwrap();
    println!("library {:?}", begun.elapsed());
    let only = std::env::var("ONLY").ok();
    for s in &all {
        if only.as_ref().is_some_and(|o| o != s.id()) { continue }
        for seed in [1, 11, 12] {
            let run = play(s, &Overrides::default(), seed).unwrap();
            let sight = Sight::of_trace(&run.events);
            let f: Vec<String> = sight.features().into_iter().map(|(n, v)| format!("{}={v:?}", n.split(' ').map(|w| &w[..w.len().min(4)]).collect::<Vec<_>>().join("."))).collect();
            println!("{} {seed}: {:?} {}", s.id(), sight.watched(), f.join(" ").replace("Word", "").replace("Length", ""));
            for (name, sight) in [("pod", Sight::of_frames(&run.events, Vantage::Pod)), ("host", Sight::of_frames(&run.events, Vantage::Host)), ("trace", sight)] {
                if seed == 1 { continue }
                let found = library.identify(&Observation { sight: Some(sight), ..Observation::default() });
                let best = found[0].against.len();
                let tied: Vec<&str> = found.iter().take_while(|c| c.against.len() == best).map(|c| c.signature.scenario.as_str()).collect();
                let own = found.iter().find(|c| c.signature.scenario == s.id()).unwrap();
                println!("   {name} best {best} {} {:?} {}", tied.len(), own.against, if tied.contains(&s.id()) { format!("{tied:?}") } else { "WRONG".into() });
            }
        }
    }
}
