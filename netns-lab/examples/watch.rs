//! Runs a command in a network namespace of its own and prints what it asks of the kernel:
//! `cargo run -p netns-lab --example watch -- /usr/sbin/ip link add br0 type bridge`

use std::{error::Error, io::Write};

use netns_lab::{
    Netns, rootless,
    supervise::{Command, watch},
};

fn main() -> Result<(), Box<dyn Error>> {
    rootless::enter()?; // before there are threads
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("usage: watch PROGRAM [ARGUMENT...]")?;
    let netns = Netns::new("lab")?;
    let mut command = Command::new(program).args(words).netns(&netns)?;
    for (name, value) in std::env::vars_os() {
        command = command.env(name, value);
    }
    let outcome = command.run(&mut watch())?;
    std::io::stdout().write_all(&outcome.stdout.bytes)?;
    std::io::stderr().write_all(&outcome.stderr.bytes)?;
    for record in &outcome.records {
        let us = record.request.at_ns.saturating_sub(outcome.started_ns) / 1000;
        let in_lab = if record.request.netns == Some(netns.id()) { "lab" } else { "?" };
        let request = &record.request;
        println!("{us:8} us {:15} {in_lab:4} {request}: {}", request.program, record.answer);
    }
    println!("{:?} {:?}", outcome.status, outcome.ended);
    Ok(())
}
