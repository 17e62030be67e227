//! `arplab probe`: a right answerer conforms, each kind of bad one is caught, nothing is left behind.

use arplab::addr::Mac;
use arplab::host::HostState;
use arplab::pair::lab;
use arplab::probe::{
    Answerer, AnswererFrame, AskError, Asker, Clause, Finding, Findings, ModelAnswerer, probe,
};
use arplab::time::Span;
use std::net::Ipv4Addr;

const POD: Ipv4Addr = Ipv4Addr::new(10, 65, 0, 2);
const POD_MAC: Mac = Mac([2, 0, 0x0a, 0x41, 0, 2]);

fn setting() -> Asker {
    Asker { mac: Some(Mac::CALICO), ..Asker::of_pod(POD, POD_MAC) }
}

fn node(commands: &[&str]) -> HostState {
    let mut state = lab::host_state();
    for command in commands {
        state.apply(&command.parse().unwrap()).unwrap();
    }
    state
}

fn model(commands: &[&str]) -> ModelAnswerer {
    ModelAnswerer::new(node(commands), lab::HOST_END, lab::UPLINK, 1).unwrap()
}

/// The clauses that are broken.
fn broken(report: &Findings) -> Vec<Clause> {
    report.broken().map(|(clause, _)| clause).collect()
}

/// A right answerer whose frames are tampered with on their way: what goes in, what comes out.
struct Tampered<F>(ModelAnswerer, F);

impl<F: FnMut(&[Vec<u8>], &mut Vec<AnswererFrame>)> Answerer for Tampered<F> {
    fn ask(
        &mut self,
        frames: &[Vec<u8>],
        patience: Span,
        enough: usize,
    ) -> Result<Vec<AnswererFrame>, AskError> {
        let mut heard = self.0.ask(frames, patience, enough)?;
        (self.1)(frames, &mut heard);
        Ok(heard)
    }
}

/// What is found about answers that `change` makes of the right ones.
fn answers(change: impl Fn(&mut Vec<u8>)) -> Findings {
    let tamper = |_: &[Vec<u8>], heard: &mut Vec<AnswererFrame>| {
        heard.iter_mut().filter(|h| h.bytes[12..14] == [8, 6]).for_each(|h| change(&mut h.bytes));
    };
    probe(&setting(), &mut Tampered(model(&[]), tamper)).unwrap()
}

/// Answers, whatever is asked for, every frame of ARP that `takes`.
fn also_answers(takes: impl Fn(&[u8]) -> bool) -> Vec<Clause> {
    let tamper = |frames: &[Vec<u8>], heard: &mut Vec<AnswererFrame>| {
        let silent = heard.is_empty();
        for frame in frames.iter().filter(|f| silent && f.len() >= 14 && takes(f)) {
            let mut bytes = frame.clone();
            bytes.resize(42, 0);
            bytes[..6].copy_from_slice(&POD_MAC.0);
            bytes[6..12].copy_from_slice(&Mac::CALICO.0);
            bytes[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            bytes[22..28].copy_from_slice(&Mac::CALICO.0);
            heard.push(AnswererFrame { after: Span::ZERO, bytes });
        }
    };
    broken(&probe(&setting(), &mut Tampered(model(&[]), tamper)).unwrap())
}

fn u16_at(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

#[test]
fn the_model_of_a_right_node_conforms() {
    let report = probe(&setting(), &mut model(&[])).unwrap();
    assert_eq!(broken(&report), []);
    assert!(report.conforms(true));
    assert!(Clause::ALL.iter().all(|c| report.of(*c) == Some(&Finding::Holds)));
}

#[test]
fn a_silent_node_shows_nothing_by_its_silence() {
    let report = probe(&setting(), &mut model(&["sysctl -w net.ipv4.conf.cali0.proxy_arp=0"])).unwrap();
    assert_eq!(broken(&report), [Clause::Broadcast]);
    assert!(!report.conforms(false));
    assert!(matches!(report.of(Clause::OwnProbe), Some(Finding::NotShown(_))));
}

#[test]
fn wrong_fields_are_caught_one_by_one() {
    assert_eq!(broken(&answers(|_| {})), []);
    assert_eq!(broken(&answers(|f| f[21] = 3)), [Clause::Operation]);
    assert_eq!(broken(&answers(|f| f[15] = 6)), [Clause::Header, Clause::PriorityTag]);
    assert_eq!(broken(&answers(|f| f[31] ^= 1)), [Clause::SenderAddress, Clause::Beyond]);
    // a pod that believes it asks in vain when it confirms its entry
    assert_eq!(broken(&answers(|f| f[27] ^= 1)), [Clause::Unicast, Clause::SenderHardware]);
    assert_eq!(broken(&answers(|f| f[11] ^= 1)), [Clause::SenderHardware]);
    // another station's MAC, consistently
    let other = answers(|f| {
        f[11] ^= 1;
        f[27] ^= 1;
    });
    assert_eq!(broken(&other), [Clause::Unicast, Clause::SenderHardware]);
    assert_eq!(broken(&answers(|f| f[41] ^= 1)), [Clause::Target]);
    assert_eq!(broken(&answers(|f| f[..6].fill(0xff))), [Clause::EthernetSource, Clause::Destination]);
    assert_eq!(broken(&answers(|f| f.push(7))), [Clause::Length]);
    assert_eq!(broken(&answers(|f| f.resize(60, 0))), []);
    assert!(broken(&answers(|f| f.truncate(41))).contains(&Clause::Length));
}

#[test]
fn wrong_silences_are_caught_one_by_one() {
    let op = |f: &[u8]| u16_at(f, 20);
    let arp = |f: &[u8]| f.len() >= 42 && u16_at(f, 12) == 0x0806;
    let own = |f: &[u8]| arp(f) && f[38..42] == POD.octets();
    let sender = |f: &[u8]| Ipv4Addr::new(f[28], f[29], f[30], f[31]);
    assert_eq!(also_answers(|_| false), []);
    assert_eq!(also_answers(|f| own(f) && sender(f).is_unspecified()), [Clause::OwnProbe]);
    assert_eq!(also_answers(|f| own(f) && sender(f) == POD), [Clause::OwnAnnouncement]);
    assert_eq!(also_answers(|f| own(f) && sender(f).is_link_local()), [Clause::OwnRequest]);
    assert_eq!(also_answers(|f| arp(f) && op(f) == 2 && sender(f) == POD && !own(f)), [Clause::Reply]);
    assert_eq!(also_answers(|f| arp(f) && op(f) == 8), [Clause::OtherOperation]);
    assert_eq!(also_answers(|f| arp(f) && u16_at(f, 14) == 32), [Clause::HardwareType]);
    assert_eq!(also_answers(|f| arp(f) && u16_at(f, 16) == 0x86dd), [Clause::ProtocolType]);
    assert_eq!(also_answers(|f| f.len() < 42), [Clause::Truncated]);
    assert_eq!(also_answers(|f| f[..3] == [0, 0, 0x5e]), [Clause::OtherStation]);
    assert_eq!(also_answers(|f| u16_at(f, 12) == 0x8100 && f[15] == 100), [Clause::Vlan]);
    assert_eq!(also_answers(|f| arp(f) && f[38] == 224), [Clause::TargetGroup]);
    assert_eq!(also_answers(|f| arp(f) && f[28] == 224), [Clause::SenderInvalid]);
    assert_eq!(also_answers(|f| arp(f) && f[18] == 8), [Clause::AddressLength]);
    let probe_for_gateway = |f: &[u8]| arp(f) && sender(f).is_unspecified() && !own(f);
    assert_eq!(also_answers(probe_for_gateway), [Clause::Probe]);
}

#[test]
fn two_answers_late_answers_and_unasked_ones_are_caught() {
    let twice = |_: &[Vec<u8>], heard: &mut Vec<AnswererFrame>| {
        if let Some(mut second) = heard.first().cloned() {
            second.bytes[11] ^= 1;
            second.bytes[27] ^= 1;
            heard.push(second);
        }
    };
    let report = probe(&setting(), &mut Tampered(model(&[]), twice)).unwrap();
    assert_eq!(broken(&report), [Clause::OneAnswer, Clause::SenderHardware, Clause::OneMac]);
    let late = probe(&setting(), &mut model(&["sysctl -w net.ipv4.neigh.cali0.proxy_delay=80"])).unwrap();
    assert_eq!(broken(&late), [Clause::AtOnce]);
    let talkative = |frames: &[Vec<u8>], heard: &mut Vec<AnswererFrame>| {
        if frames.is_empty() {
            let frame = arplab::wire::Arp::reply(Mac::CALICO, setting().gateway, POD_MAC, POD);
            let bytes = frame.frame(POD_MAC, Mac::CALICO).to_vec();
            heard.push(AnswererFrame { after: Span::ZERO, bytes });
        }
    };
    let report = probe(&setting(), &mut Tampered(model(&[]), talkative)).unwrap();
    assert_eq!(broken(&report), [Clause::Unasked]);
    let dies = |frames: &[Vec<u8>], heard: &mut Vec<AnswererFrame>| {
        use std::cell::Cell;
        thread_local!(static DEAD: Cell<bool> = const { Cell::new(false) });
        // a truncated frame kills it
        DEAD.set(DEAD.get() || frames.iter().any(|f| f.len() < 42));
        if DEAD.get() {
            heard.clear();
        }
    };
    let report = probe(&setting(), &mut Tampered(model(&[]), dies)).unwrap();
    assert_eq!(broken(&report), [Clause::Still]);
}

#[test]
fn an_owner_of_the_address_answers_probes() {
    let own = ["ip addr add 169.254.1.1/32 dev cali0 scope link"];
    let as_proxy = probe(&setting(), &mut model(&own)).unwrap();
    assert_eq!(broken(&as_proxy), [Clause::Probe]);
    assert!(as_proxy.conforms(false) && !as_proxy.conforms(true));
    let as_owner = Asker { owns_gateway: true, ..setting() };
    assert_eq!(broken(&probe(&as_owner, &mut model(&own)).unwrap()), []);
}
