//! The recordings' commands as changes: `ip` and `nft` are left out there, and a netfilter rule is
//! described rather than typed.

use crate::host::Mutation;

/// Reads one command of a recording.
pub(super) fn parse(text: &str) -> Result<Mutation, String> {
    let typed = if let Some(rule) = text.strip_prefix("nft:") {
        hook(rule).ok_or_else(|| format!("`{text}` describes no rule the model knows"))?
    } else if text.starts_with("sysctl ") || text.starts_with("ip ") || text.starts_with("nft ") {
        text.to_owned()
    } else {
        ip(text)
    };
    typed.parse().map_err(|e: crate::host::command::CommandError| e.to_string())
}

/// Only the family of `default` cannot be told from the word itself.
pub(super) fn ip(text: &str) -> String {
    let v6 = text.split_whitespace().any(|word| word.matches(':').count() >= 2 && !is_mac(word));
    format!("ip {}{text}", if v6 { "-6 " } else { "" })
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
