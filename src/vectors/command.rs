//! The recordings' commands as changes: `ip` and `nft` are left out there, and a netfilter rule is
//! described rather than typed.

use super::error::RecordError;
use crate::host::Mutation;

/// Reads one command of a recording.
pub(super) fn parse(text: &str) -> Result<Mutation, RecordError> {
    let typed = if let Some(rule) = text.strip_prefix("nft:") {
        hook(rule).ok_or_else(|| RecordError::Value(format!("`{text}` describes no rule the model knows")))?
    } else if text.starts_with("sysctl ") || text.starts_with("ip ") || text.starts_with("nft ") {
        text.to_owned()
    } else {
        ip(text)
    };
    Ok(typed.parse()?)
}

/// Only the family of `default` cannot be told from the word itself.
pub(super) fn ip(text: &str) -> String {
    let v6 = text.split_whitespace().any(|word| word.matches(':').count() >= 2 && !is_mac(word));
    format!("ip {}{text}", if v6 { "-6 " } else { "" })
}

/// Reads the lines of `ip route`, which gives each leg of a route a line of its own: `nexthop ...` belongs
/// to the line before.
pub(super) fn routes<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    let mut routes: Vec<String> = Vec::new();
    for line in <Vec<String> as serde::Deserialize>::deserialize(source)? {
        let line = line.trim();
        match routes.last_mut() {
            Some(route) if line.starts_with("nexthop ") => {
                route.push(' ');
                route.push_str(line);
            }
            _ => routes.push(line.to_owned()),
        }
    }
    Ok(routes)
}

fn is_mac(word: &str) -> bool {
    word.parse::<crate::addr::Mac>().is_ok()
}

/// `table arp, output hook, oifname cali0 drop` is `nft add rule arp filter output oifname cali0
/// drop`.
fn hook(rule: &str) -> Option<String> {
    let parts: Vec<&str> = rule.split(',').map(str::trim).collect();
    let [table, hook, rest @ ..] = &parts[..] else { return None };
    let point = hook.strip_suffix(" hook")?;
    (*table == "table arp").then(|| format!("nft add rule arp filter {point} {}", rest.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both readers of recordings take a route of several legs.
    #[test]
    fn a_leg_belongs_to_the_route_above_it() {
        let lines = [
            "default ",
            "\tnexthop via 192.168.77.1 dev up0 weight 1 ",
            "\tnexthop via 192.168.77.3 dev up0 weight 1 ",
            "10.65.0.2 dev cali0 scope link",
        ];
        let json = serde_json::json!({ "routes": lines });
        let wanted = [
            "default nexthop via 192.168.77.1 dev up0 weight 1 nexthop via 192.168.77.3 dev up0 weight 1",
            "10.65.0.2 dev cali0 scope link",
        ];
        let of_frames: super::super::Config = serde_json::from_value(json.clone()).unwrap();
        let of_pods: super::super::pod_record::SideConfig = serde_json::from_value(json).unwrap();
        assert_eq!(
            (&of_frames.routes[..], &of_pods.routes[..]),
            (&wanted.map(str::to_owned)[..], &wanted.map(str::to_owned)[..])
        );
        assert!(parse(&format!("route add {}", wanted[0])).is_ok());
    }

    #[test]
    fn commands_of_recordings_are_understood() {
        for (recorded, typed) in [
            ("link set cali0 up", "ip link set cali0 up"),
            ("link set cali0 address ee:ee:ee:ee:ee:ee", "ip link set cali0 address ee:ee:ee:ee:ee:ee"),
            ("route add default via fd00:77::1 dev up0", "ip -6 route add default via fd00:77::1 dev up0"),
            ("sysctl net/ipv4/ip_forward=1", "sysctl -w net.ipv4.ip_forward=1"),
            ("neigh add proxy fd00:99::1 dev cali0", "ip neigh add proxy fd00:99::1 dev cali0"),
            (
                "rule add priority 100 from 10.65.0.2 lookup 100",
                "ip rule add priority 100 from 10.65.0.2 lookup 100",
            ),
            (
                "nft: table arp, output hook, oifname cali0 drop",
                "nft add rule arp filter output oifname cali0 drop",
            ),
        ] {
            assert_eq!(parse(recorded).unwrap().to_string(), typed);
        }
        assert!(parse("nft: flush ruleset").is_err());
        assert!(parse("frobnicate").is_err());
    }
}
