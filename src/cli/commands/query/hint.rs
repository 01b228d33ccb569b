//! The reason why a query found nothing, and what to ask instead.

use super::QueryArgs;
use crate::value::{Value, ValueType};

/// A sentence for a query without results.
pub(super) fn nothing_found(args: &QueryArgs) -> String {
    let found = match &args.value {
        Some(text) => about_value(text.trim()),
        None => "no record meets all conditions".to_owned(),
    };
    let more = about_conditions(args);
    if more.is_empty() {
        format!("nothing found: {found}")
    } else {
        format!("nothing found: {found}; {more}")
    }
}

fn about_value(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("*.").filter(|rest| is(ValueType::Domain, rest)) {
        return format!(
            "{text} is a pattern; ask for the domain and all below it: --domain {rest}"
        );
    }
    if let Some((host, port)) = host_and_port(text) {
        // An IPv6 address stands in brackets before a port, and nowhere else.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let flag = if is(ValueType::Ip, host) { "--network" } else { "--domain" };
        return format!(
            "{text} is a host with a port, and records have the host or a URL; ask for {bare}, for \
             {flag} {bare}, or for a URL such as tcp://{host}:{port}"
        );
    }
    let readings = readings(text);
    let looked_for = format!("looked for {}", readings.join(", "));
    let hint = if text.bytes().all(|b| b.is_ascii_digit()) {
        "a telephone number begins with + and the country code, an account names its country and bank"
    } else if is(ValueType::Ip, text) {
        "--network finds the networks that contain an address, too"
    } else if is(ValueType::Domain, text) {
        "--domain finds what is below a domain, too"
    } else {
        "--text finds words in titles and notes"
    };
    format!("{looked_for}; {hint}")
}

fn about_conditions(args: &QueryArgs) -> &'static str {
    if args.case.is_some() {
        "`liaison case show` shows whether the case is known here"
    } else if args.text.is_some() {
        "every word must occur in titles or notes; ask for fewer"
    } else if !args.include_superseded && args.value.is_some() {
        "older revisions are found with --include-superseded"
    } else {
        ""
    }
}

fn is(value_type: ValueType, text: &str) -> bool {
    Value::normalise(value_type, text).is_ok()
}

fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let is_host =
        is(ValueType::Domain, host) || is(ValueType::Ip, host) && !is(ValueType::Ip, text);
    (is_port && is_host).then_some((host, port))
}

/// Returns the values that the node looks for: the text as each type that it can be.
fn readings(text: &str) -> Vec<String> {
    let values = ValueType::ALL.iter().filter_map(|of| Value::normalise(*of, text).ok());
    let mut readings: Vec<String> =
        values.map(|value| format!("{} {value}", value.value_type())).collect();
    readings.dedup();
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn hint(arguments: &[&str]) -> String {
        let cli = Cli::try_parse_from(["liaison", "query"].iter().chain(arguments)).unwrap();
        let Command::Query(args) = cli.command else { panic!() };
        nothing_found(&args)
    }

    #[test]
    fn a_search_that_finds_nothing_says_what_to_ask_instead() {
        for (arguments, part) in [
            (&["evil.example:8080"][..], "a host with a port, and records have the host or a URL"),
            (&["evil.example:8080"], "for --domain evil.example, or"),
            (&["192.0.2.1:443"], "--network 192.0.2.1, or for a URL such as tcp://192.0.2.1:443"),
            (
                &["[2001:db8::77]:443"],
                "ask for 2001:db8::77, for --network 2001:db8::77, or for a URL such as \
                 tcp://[2001:db8::77]:443",
            ),
            (&["*.evil.example"], "--domain evil.example"),
            (&["64500"], "looked for asn AS64500, app-id 64500"),
            (&["81312345678"], "begins with + and the country code"),
            (&["192.0.2.1"], "--network finds the networks"),
            (&["2001:db8::1"], "looked for ip 2001:db8::1"),
            (&["evil.example"], "--domain finds what is below"),
            (&["--case", "OP-1"], "liaison case show"),
            (&["--text", "one two"], "ask for fewer"),
            (&["--kind", "case"], "no record meets all conditions"),
        ] {
            let found = hint(arguments);
            assert!(found.starts_with("nothing found: ") && found.contains(part), "{found}");
        }
    }
}
