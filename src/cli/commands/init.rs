//! `liaison init`: a new node's directory.

use super::partner::parse_sector;
use crate::cli::context::{Context, directory};
use crate::cli::error::{CliError, Exit};
use crate::ident::AgencyName;
use crate::node::config::{Config, Http, Listen, Release, RollbackGuard, Store, Witness};
use crate::node::init;
use crate::node::limits::Limits;
use crate::policy::{ClientRole, Country, Sector};
use crate::tls::ClientName;
use clap::Args;
use serde_json::json;
use std::net::IpAddr;

/// Make a new node: keys, certification authority, card, configuration and a first client.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  liaison init --dir npa --agency npa.go.jp --name 'National Police Agency' \\\n      --country JP --sector police --address liaison.npa.go.jp:7443 \\\n      --listen-partners 0.0.0.0:7443"
)]
pub struct InitArgs {
    /// DNS-like name of the agency, for example npa.go.jp. It never changes.
    #[arg(long)]
    agency: AgencyName,
    /// Name of the agency for people.
    #[arg(long)]
    name: String,
    /// Country, ISO 3166-1 alpha-2.
    #[arg(long)]
    country: Country,
    /// police, cert, vendor, prosecutor, regulator or other.
    #[arg(long, value_parser = parse_sector)]
    sector: Sector,
    /// Address at which partners reach this node, host:port; repeat for more. Without one it only
    /// dials out.
    #[arg(long = "address", value_name = "HOST:PORT")]
    addresses: Vec<String>,
    /// Address of the port for partners; a loopback address cannot be reached from other machines.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7443")]
    listen_partners: String,
    /// Address on which the port for local clients listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7444")]
    listen_clients: String,
    /// The index engine, fjall or sled.
    #[arg(long, default_value_t = crate::store::EngineKind::default())]
    engine: crate::store::EngineKind,
}

pub(super) fn run(args: InitArgs, context: &Context) -> Result<(), CliError> {
    let dir = directory(context)?;
    let hosts = hosts(&args);
    let config = Config {
        agency: args.agency.to_string(),
        display_name: args.name,
        country: args.country.to_string(),
        sector: args.sector.name().to_owned(),
        hosts,
        addresses: args.addresses,
        listen: Listen { partners: args.listen_partners, clients: args.listen_clients },
        store: Store { engine: args.engine.name().to_owned(), ..Store::default() },
        witness: Witness::default(),
        guard: RollbackGuard::default(),
        http: Http::default(),
        release: Release::default(),
        limits: Limits::default(),
    };
    let now = (crate::journal::open::system_clock())();
    let admin: ClientName = "admin".parse().map_err(|error| CliError::Other {
        doing: "cannot name the first client".to_owned(),
        exit: Exit::Failed,
        fix: "liaison client issue NAME --role admin".to_owned(),
        source: Box::new(error),
    })?;
    let init::Made { card, profile } =
        init::init_with_client(&dir, &config, &admin, ClientRole::Admin, now)?;
    let number = card.number().to_string();
    context.output.either(
        json!({
            "agency": config.agency,
            "dir": dir.display().to_string(),
            "card": dir.join(init::CARD_FILE).display().to_string(),
            "number": number,
            "admin": profile.display().to_string(),
        }),
        || {
            format!(
                "created  keys and certification authority in {dir}\n\
                 created  card {card}: send it to partners\n\
                 created  client admin {profile}\n\
                 our number (read it to partners over the telephone):\n  {number}",
                dir = dir.display(),
                card = dir.join(init::CARD_FILE).display(),
                profile = profile.display(),
            )
        },
    )?;
    if let Some(warning) = unreachable(&config) {
        context.output.note(&warning);
    }
    context.output.note(&next_steps(&dir.display().to_string()));
    Ok(())
}

/// Returns a warning if the card has an address on which this node does not listen.
fn unreachable(config: &Config) -> Option<String> {
    let told = config.addresses.iter().find(|address| !is_loopback(address))?;
    let listens = &config.listen.partners;
    if !is_loopback(listens) {
        return None;
    }
    let port = listens.rsplit_once(':').map_or("7443", |(_, port)| port);
    Some(format!(
        "partners are told {told}, but their port listens on {listens} only; write partners = \"0.0.0.0:{port}\" \
         under [listen] in liaison.toml, unless a proxy forwards it"
    ))
}

fn is_loopback(address: &str) -> bool {
    let Some(host) = host_of(address) else { return false };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A node shares nothing before it has a policy, which takes these people.
fn next_steps(dir: &str) -> String {
    let issue = |name: &str, role: ClientRole| {
        format!("next: liaison client issue {name} --role {role} --dir {dir}\n")
    };
    [
        issue("OFFICER", ClientRole::PolicyOfficer),
        issue("SECOND-OFFICER", ClientRole::PolicyOfficer),
        issue("DATA-PROTECTION-OFFICER", ClientRole::DataProtectionOfficer),
        format!("then: liaison serve --dir {dir}"),
    ]
    .concat()
}

/// The names that certificates are made for: where the node listens and where partners reach it.
fn hosts(args: &InitArgs) -> Vec<String> {
    let host = |address: &String| {
        let host = host_of(address)?;
        (!["", "0.0.0.0", "::"].contains(&host)).then(|| host.to_owned())
    };
    let mut hosts: Vec<String> = args
        .addresses
        .iter()
        .chain([&args.listen_partners, &args.listen_clients])
        .filter_map(host)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn host_of(address: &str) -> Option<&str> {
    let (host, _) = address.rsplit_once(':')?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    pub(in crate::cli::commands) fn config(address: &str, listens: &str) -> Config {
        Config {
            agency: "npa.go.jp".to_owned(),
            display_name: "NPA".to_owned(),
            country: "JP".to_owned(),
            sector: "police".to_owned(),
            hosts: Vec::new(),
            addresses: vec![address.to_owned()],
            listen: Listen { partners: listens.to_owned(), ..Listen::default() },
            store: Store::default(),
            witness: Witness::default(),
            guard: RollbackGuard::default(),
            http: Http::default(),
            release: Release::default(),
            limits: Limits::default(),
        }
    }

    fn warning(address: &str, listens: &str) -> Option<String> {
        unreachable(&config(address, listens))
    }

    #[test]
    fn an_address_that_the_port_does_not_listen_on_is_warned_of() {
        let text = warning("liaison.npa.go.jp:7443", "127.0.0.1:8443").unwrap();
        assert!(text.starts_with("partners are told liaison.npa.go.jp:7443, but"), "{text}");
        assert!(text.contains("partners = \"0.0.0.0:8443\""), "{text}");
        assert!(warning("192.0.2.1:7443", "[::1]:7443").is_some());
        for (address, listens) in [
            ("liaison.npa.go.jp:7443", "0.0.0.0:7443"),
            ("liaison.npa.go.jp:7443", "192.0.2.1:7443"),
            ("localhost:7443", "127.0.0.1:7443"),
            ("127.0.0.1:7443", "127.0.0.1:7443"),
        ] {
            assert_eq!(warning(address, listens), None, "{address} {listens}");
        }
    }

    #[test]
    fn the_next_steps_name_whom_a_first_policy_takes() {
        let steps = next_steps("npa");
        assert_eq!(steps.matches("--role policy-officer --dir npa").count(), 2, "{steps}");
        assert!(steps.contains("--role data-protection-officer"), "{steps}");
        assert!(steps.ends_with("then: liaison serve --dir npa"), "{steps}");
    }

    #[test]
    fn a_wrong_sector_or_country_is_wrong_usage() {
        let parse = |sector, country| {
            Cli::try_parse_from([
                "liaison",
                "init",
                "--agency",
                "npa.go.jp",
                "--name",
                "NPA",
                "--country",
                country,
                "--sector",
                sector,
            ])
        };
        assert!(matches!(parse("police", "JP").unwrap().command, Command::Init(_)));
        let text = parse("csirt", "JP").unwrap_err().to_string();
        assert!(text.contains("--sector") && text.contains("one of police, cert"), "{text}");
        assert!(parse("police", "Japan").is_err());
    }
}
