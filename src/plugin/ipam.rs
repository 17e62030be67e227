//! Addresses, from a plugin that the configuration names: delegation by section 4 of the specification.

use super::call::Call;
use super::failure::Failure;
use crate::cni::find_plugin;
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// What a plugin says that does not speak the configuration's version.
const INCOMPATIBLE: u64 = 1;
/// What one says that does not know a verb: the verb is wrong, or the container is missing that GC and
/// STATUS are not about (host-local 1.1.1 looks for it before it looks at the verb).
const NO_SUCH_VERB: [u64; 2] = [3, 4];
/// The version that is tried with one that does not speak 1.1.0; what it is asked for is the same.
const BEFORE: &str = "1.0.0";

/// What an IPAM plugin gave.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) ip6: Option<Ipv6Addr>,
    /// `dns` of its result.
    pub(super) dns: Option<Value>,
}

/// The plugin that hands out addresses.
pub(super) struct Ipam<'a> {
    call: &'a Call,
    name: String,
    program: PathBuf,
}

impl<'a> Ipam<'a> {
    /// The one that the configuration names.
    pub(super) fn of(call: &'a Call) -> Result<Ipam<'a>, Failure> {
        let name = call.config.get("ipam").and_then(|it| it.get("type")).and_then(Value::as_str);
        let name = name.ok_or_else(|| {
            Failure::config(
                "`ipam.type` is missing from the configuration",
                "it names the plugin that hands out addresses, such as host-local",
            )
        })?;
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(Failure::config(
                format!("`ipam.type` {name:?} is no file name"),
                "the folders are those of CNI_PATH",
            ));
        }
        let folders = || call.path.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ");
        let program = find_plugin(name, &call.path).ok_or_else(|| {
            Failure::io(
                format!("there is no IPAM plugin `{name}`"),
                format!("looked for in CNI_PATH: {}", folders()),
            )
        })?;
        Ok(Ipam { call, name: name.to_owned(), program })
    }

    /// Asks for the container's addresses.
    pub(super) fn add(&self) -> Result<Lease, Failure> {
        let answer = self.ask("ADD", &[])?;
        let result: Value = serde_json::from_slice(&answer).map_err(|e| {
            Failure::decode(
                format!("what the IPAM plugin `{}` printed is no result: {e}", self.name),
                text(&answer),
            )
        })?;
        let listed = result.get("ips").and_then(Value::as_array).into_iter().flatten();
        let nets: Vec<IpNet> = listed.filter_map(|ip| ip.get("address")?.as_str()?.parse().ok()).collect();
        let ip = nets.iter().find_map(|net| match net {
            IpNet::V4(net) => Some(net.addr()),
            IpNet::V6(_) => None,
        });
        let ip6 = nets.iter().find_map(|net| match net {
            IpNet::V6(net) => Some(net.addr()),
            IpNet::V4(_) => None,
        });
        if ip.is_none() && ip6.is_none() {
            let _ = self.del();
            let msg = format!("the IPAM plugin `{}` gave no address", self.name);
            return Err(Failure::config(msg, text(&answer)));
        }
        Ok(Lease { ip, ip6, dns: result.get("dns").cloned() })
    }

    /// Gives them back.
    pub(super) fn del(&self) -> Result<(), Failure> {
        self.ask("DEL", &[]).map(drop)
    }

    /// Gives back those of another container of the network.
    pub(super) fn del_of(&self, container: &str, ifname: &str) -> Result<(), Failure> {
        self.ask("DEL", &[("CNI_CONTAINERID", container), ("CNI_IFNAME", ifname)]).map(drop)
    }

    /// Asks whether they are still the container's.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.ask("CHECK", &[]).map(drop)
    }

    /// Hands on a verb that came with 1.1.0; one that does not know it has nothing to say to it.
    pub(super) fn hand_on(&self, verb: &str) -> Result<(), Failure> {
        match self.run(verb, &[], &self.call.config) {
            Err(failure) if failure.code == INCOMPATIBLE || NO_SUCH_VERB.contains(&failure.code) => Ok(()),
            done => done.map(drop),
        }
    }

    fn ask(&self, verb: &str, over: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        match self.run(verb, over, &self.call.config) {
            Err(failure) if failure.code == INCOMPATIBLE && self.call.version() > BEFORE => {
                let mut config = self.call.config.clone();
                config.insert("cniVersion".into(), BEFORE.into());
                self.run(verb, over, &config)
            }
            done => done,
        }
    }

    fn run(
        &self,
        verb: &str,
        over: &[(&str, &str)],
        config: &Map<String, Value>,
    ) -> Result<Vec<u8>, Failure> {
        let fail = |e: &dyn core::fmt::Display| {
            Failure::io(format!("the IPAM plugin `{}` cannot be run", self.name), e)
        };
        let mut command = Command::new(&self.program);
        command.env("CNI_COMMAND", verb).envs(over.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| fail(&e))?;
        let input = Value::Object(config.clone()).to_string();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut printed = Vec::new();
        let read = std::thread::scope(|scope| {
            // one that reads nothing, or prints before it reads, must not stop us
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            stdout.map_or(Ok(0), |stdout| stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut printed))
        });
        if printed.len() as u64 > ANSWER_BYTES_MAX {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| fail(&e))?;
        read.map_err(|e| fail(&e))?;
        if status.success() {
            return Ok(printed);
        }
        match serde_json::from_slice::<Failure>(&printed) {
            Ok(mut failure) => {
                failure.msg = format!("IPAM plugin `{}`: {}", self.name, failure.msg);
                Err(failure)
            }
            Err(_) => Err(fail(&format!("it ended with {status} and printed {:?}", text(&printed)))),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
