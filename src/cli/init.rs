//! `liaison init`: a new node's directory.

use super::error::{CliError, Exit};
use super::{Context, directory};
use crate::node::config::{Config, Guard, Http, Listen, Release, Store, Witness};
use crate::node::init;
use crate::node::limits::Limits;
use crate::policy::ClientRole;
use crate::tls::ClientName;
use clap::Args;
use serde_json::json;

/// Make a new node: keys, certification authority, card, configuration and a first client.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  liaison init --dir npa --agency npa.go.jp --name 'National Police Agency' \\\n      --country JP --sector police --address liaison.npa.go.jp:7443"
)]
pub struct InitArgs {
    /// DNS-like name of the agency, for example npa.go.jp. It never changes.
    #[arg(long)]
    agency: String,
    /// Name of the agency for people.
    #[arg(long)]
    name: String,
    /// Country, ISO 3166-1 alpha-2.
    #[arg(long)]
    country: String,
    /// police, cert, vendor, prosecutor, regulator or other.
    #[arg(long)]
    sector: String,
    /// Where partners reach this node, host:port; repeat for more. Without one it only dials out.
    #[arg(long = "address", value_name = "HOST:PORT")]
    addresses: Vec<String>,
    /// Where the port for partners listens.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7443")]
    listen_partners: String,
    /// Where the port for local clients listens.
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
        agency: args.agency,
        display_name: args.name,
        country: args.country,
        sector: args.sector,
        hosts,
        addresses: args.addresses,
        listen: Listen { partners: args.listen_partners, clients: args.listen_clients },
        store: Store { engine: args.engine.name().to_owned(), ..Store::default() },
        witness: Witness::default(),
        guard: Guard::default(),
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
    context.output.note(&format!("next: liaison serve --dir {}", dir.display()));
    Ok(())
}

/// The names that certificates are made for: where the node listens and where partners reach it.
fn hosts(args: &InitArgs) -> Vec<String> {
    let host = |address: &String| {
        let (host, _) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
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
