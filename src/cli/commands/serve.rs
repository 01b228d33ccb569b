//! The command `liaison serve`: runs a node until it is stopped.

use crate::cli::context::{Context, directory};
use crate::cli::error::{CliError, Exit};
use crate::http;
use crate::node::config::Config;
use crate::node::{Addresses, Node, TimeSource};
use crate::partner::Card;
use crate::rpc;
use crate::tls::{Acceptor, Gate};
use clap::Args;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The longest time for streams and calls to end after a signal; then they are cut. An acknowledged
/// record is durable in any case.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);

/// Run a node until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison serve --dir npa")]
pub struct ServeArgs {
    /// Stop when standard input ends, for a program that starts a node and must not leave it behind.
    #[arg(long)]
    until_stdin_ends: bool,
}

pub(super) async fn run(args: ServeArgs, context: &Context) -> Result<(), CliError> {
    let dir = directory(context)?;
    let (node, writer, report) = Node::open(&dir, TimeSource::system())?;
    if report.torn_bytes > 0 {
        context.output.note(&format!(
            "cut off {} bytes of a batch that was never acknowledged",
            report.torn_bytes
        ));
    }
    if report.rebuilt {
        context.output.note("made the index again from the segments");
    }
    if let Ok(card) = node.own_card() {
        for difference in differences(node.config(), card.card()) {
            context.output.note(&difference);
        }
    }
    let gates = (Gate::partners(node.trust()), Gate::clients(node.authority()).map_err(tls)?);
    let partners = listen(&node, &node.config().listen.partners, gates.0).await?;
    let clients = listen(&node, &node.config().listen.clients, gates.1).await?;
    let http = listen_http(&node.config().http.listen).await?;
    let addresses = (address_of(&partners), address_of(&clients));
    node.counts_refusals(partners.refusals());
    node.counts_refusals(clients.refusals());
    node.listens(Addresses {
        partners: addresses.0.clone(),
        clients: addresses.1.clone(),
        http: http.as_ref().map_or_else(String::new, |(address, _)| address.clone()),
    });
    context.output.note(&format!(
        "{} serves partners on {} and clients on {}; journal at {} entries",
        node.agency(),
        addresses.0,
        addresses.1,
        node.view().snapshot().size,
    ));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(rpc::serve_partner_port(Arc::clone(&node), partners, stopped(&node)));
    tasks.spawn(rpc::serve_client_port(Arc::clone(&node), clients, stopped(&node)));
    if let Some((_, listener)) = http {
        let (node, stopped) = (Arc::clone(&node), stopped(&node));
        tasks.spawn(async move {
            http::serve(node, listener, stopped).await;
            Ok(())
        });
    }
    let running = tokio::spawn(Arc::clone(&node).run());
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut grown = node.grown();
    let outcome = tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = stdin_ended(), if args.until_stdin_ends => Ok(()),
        Some(ended) = tasks.join_next() => Err(port_ended(ended)),
        // The sender lives in the writer: its end is the writer's end.
        () = writer_ended(&mut grown) => Ok(()),
    };
    context.output.note("stopping");
    node.stop();
    let finish = async {
        while tasks.join_next().await.is_some() {}
        drop(running.await);
    };
    if tokio::time::timeout(SHUTDOWN_DEADLINE, finish).await.is_err() {
        context.output.note("some streams did not end in time and were cut");
    }
    if writer.is_finished() {
        writer.join().map_err(crate::node::NodeError::from)?;
    }
    node.view()
        .index()
        .flush()
        .map_err(crate::journal::JournalError::from)
        .map_err(crate::node::NodeError::from)?;
    outcome
}

/// Returns the differences between liaison.toml and the card. A changed file changes no card.
fn differences(config: &Config, card: &Card) -> Vec<String> {
    let card_addresses: Vec<String> = card.addresses.iter().map(ToString::to_string).collect();
    let all = [
        ("addresses", config.addresses.join(", "), card_addresses.join(", ")),
        ("sector", config.sector.clone(), card.sector.to_string()),
        ("country", config.country.clone(), card.country.to_string()),
    ];
    let differs = all.into_iter().filter(|(_, file, card)| file != card);
    let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    differs
        .map(|(what, file, card)| {
            format!(
                "{what} in liaison.toml: {}; on the card: {}; partners go by the card",
                shown(&file),
                shown(&card)
            )
        })
        .collect()
}

/// Waits for the end of standard input; what comes before is not looked at.
async fn stdin_ended() {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own: a read of a terminal or pipe cannot be broken off, and the runtime would
    // wait for it at the end.
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        let _ = ended.send(());
    });
    drop(end.await);
}

async fn writer_ended(grown: &mut tokio::sync::watch::Receiver<u64>) {
    while grown.changed().await.is_ok() {}
}

/// The HTTP port, where one is configured.
async fn listen_http(address: &str) -> Result<Option<(String, TcpListener)>, CliError> {
    if address.is_empty() {
        return Ok(None);
    }
    let bound = |source: std::io::Error| CliError::Other {
        doing: format!("cannot listen on {address}"),
        exit: Exit::Precondition,
        fix: "free the port, or set another under [http] in liaison.toml".to_owned(),
        source: Box::new(source),
    };
    let listener = TcpListener::bind(address).await.map_err(bound)?;
    let local = listener.local_addr().map_err(bound)?.to_string();
    Ok(Some((local, listener)))
}

async fn listen(node: &Node, address: &str, gate: Gate) -> Result<Acceptor, CliError> {
    let bound = |source: std::io::Error| CliError::Other {
        doing: format!("cannot listen on {address}"),
        exit: Exit::Precondition,
        fix: "free the port, or set another under [listen] in liaison.toml".to_owned(),
        source: Box::new(source),
    };
    let listener = TcpListener::bind(address).await.map_err(bound)?;
    Acceptor::new(listener, gate, node.certificate(), node.config().limits.accept()).map_err(tls)
}

fn tls(source: rustls::Error) -> CliError {
    CliError::Other {
        doing: "cannot use the node's certificates".to_owned(),
        exit: Exit::Precondition,
        fix: "look at DIR/tls; remove leaf.pem there to have it made again".to_owned(),
        source: Box::new(source),
    }
}

fn address_of(acceptor: &Acceptor) -> String {
    acceptor.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
}

fn stopped(node: &Arc<Node>) -> impl Future<Output = ()> + Send + use<> {
    let mut stopping = node.stopping();
    async move {
        drop(stopping.wait_for(|stop| *stop).await);
    }
}

fn signals(source: std::io::Error) -> CliError {
    CliError::Other {
        doing: "cannot wait for signals".to_owned(),
        exit: Exit::Failed,
        fix: "run it where signals are allowed".to_owned(),
        source: Box::new(source),
    }
}

fn port_ended<E: std::fmt::Display>(
    ended: Result<Result<(), E>, tokio::task::JoinError>,
) -> CliError {
    let reason = match ended {
        Ok(Ok(())) => "it stopped by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    CliError::Precondition {
        found: format!("a port of the node ended: {reason}"),
        fix: "start the node again; look at the log if it ends again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_otherwise_than_the_card_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut config =
            crate::cli::commands::init::tests::config("liaison.npa.go.jp:7443", "0.0.0.0:7443");
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let card = crate::node::init::init(&dir.path().join("npa"), &config, now).unwrap();
        assert_eq!(differences(&config, card.card()), [] as [String; 0]);
        config.sector = "cert".to_owned();
        config.addresses.clear();
        assert_eq!(
            differences(&config, card.card()),
            [
                "addresses in liaison.toml: none; on the card: liaison.npa.go.jp:7443; partners go by the card",
                "sector in liaison.toml: cert; on the card: police; partners go by the card",
            ]
        );
    }
}
