//! `liaison partner`: our card and number, and the partners we share with.
//!
//! Nothing is trusted on first use: a card is added only with the number that its agency read to
//! us over a second channel, typed by the user and never proposed to her.

use super::{acts, roster};
use crate::cli::card_file::{read_card, verify_card};
use crate::cli::connection::Role;
use crate::cli::context::{Context, parse_time};
use crate::cli::error::{CliError, Exit};
use crate::cli::names;
use crate::cli::output::{Format, harmless_lines};
use crate::cli::schema::{self, Absent, time_text};
use crate::cli::table::{Table, facts};
use crate::ident::{AgencyName, Timestamp};
use crate::numerals::{counted, grouped};
use crate::partner::{Card, HeardNumber, VerifiedCard};
use crate::pb;
use crate::pb::partner_service_client::PartnerServiceClient;
use crate::policy::{Country, Sector};
use serde_json::json;
use std::path::{Path, PathBuf};

type Client = PartnerServiceClient<tonic::transport::Channel>;

/// See our card, add partners, suspend and resume them.
#[derive(Debug, clap::Subcommand)]
pub enum PartnerCommand {
    /// Write our own card to stdout, and its number to stderr.
    #[command(after_help = "Example:\n  liaison partner card > our-agency.card")]
    Card,
    /// Propose a partner by its card and the number that its people read to you.
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<AddArgs>),
    /// List all partners.
    #[command(after_help = "Example:\n  liaison partner list")]
    List,
    /// Show one partner with its card.
    #[command(after_help = "Example:\n  liaison partner show jc3.or.jp")]
    Show(PartnerArgs),
    /// Change the agreement with a partner: sector, country, end, and the mark of our constituents.
    #[command(
        after_help = "Examples:\n  liaison partner agree jc3.or.jp --until 2027-12-31\n  liaison partner agree vendor.example --client-of-ours false\n\nA change that may show the partner more waits for a second person."
    )]
    Agree(AgreeArgs),
    /// Stop all exchange with a partner, at once.
    #[command(after_help = "Example:\n  liaison partner suspend jc3.or.jp")]
    Suspend(PartnerArgs),
    /// End the relation with a partner; a new relation takes a new card and a new comparison.
    #[command(after_help = "Example:\n  liaison partner revoke jc3.or.jp")]
    Revoke(PartnerArgs),
    /// Propose to exchange with a suspended partner again.
    #[command(
        after_help = "Example:\n  liaison partner resume jc3.or.jp\n\nA policy officer approves with `liaison acts approve N`."
    )]
    Resume(PartnerArgs),
}

const ADD_EXAMPLES: &str = "\
Examples:
  liaison partner add jc3.card --circle fraud-desk --operation chakra
  liaison partner add vendor.card --sector vendor --country US --agreement-until 2027-12-31

The partner is active when a policy officer approved it with `liaison acts approve N`. Without --sector
and --country those of the card are proposed.

Call the partner on a phone number that you had before its card came, ask it to read its number,
and type what you hear.";

#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The partner's card.
    card: PathBuf,
    /// The 30-digit number as it was read to you; without it the program asks.
    #[arg(long)]
    number: Option<String>,
    /// A circle it belongs to; may be repeated.
    #[arg(long)]
    circle: Vec<String>,
    /// A joint operation it takes part in; may be repeated.
    #[arg(long)]
    operation: Vec<String>,
    /// Sector of the organisation; the card's sector is proposed when it is not given.
    #[arg(long, value_parser = parse_sector)]
    sector: Option<Sector>,
    /// ISO 3166-1 alpha-2 code of its country; the card's is proposed when it is not given.
    #[arg(long)]
    country: Option<Country>,
    /// It is one of our own constituents (a client in the sense of TLP:AMBER).
    #[arg(long)]
    client_of_ours: bool,
    /// End of the agreement with it.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    agreement_until: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
pub struct AgreeArgs {
    /// Name of the agency, for example jc3.or.jp.
    agency: AgencyName,
    /// End of the agreement.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "no_end")]
    until: Option<Timestamp>,
    /// The agreement has no end.
    #[arg(long)]
    no_end: bool,
    /// True if it is one of our own constituents (a client in the sense of TLP:AMBER).
    #[arg(long, value_name = "TRUE|FALSE")]
    client_of_ours: Option<bool>,
    /// Sector of the organisation.
    #[arg(long, value_parser = parse_sector)]
    sector: Option<Sector>,
    /// ISO 3166-1 alpha-2 code of its country.
    #[arg(long)]
    country: Option<Country>,
}

pub(super) fn parse_sector(text: &str) -> Result<Sector, String> {
    let all = Sector::ALL.map(Sector::name).join(", ");
    Sector::from_name(text).ok_or_else(|| format!("one of {all}"))
}

impl AgreeArgs {
    fn change(&self, facts: &mut pb::PartnerFacts) {
        if let Some(until) = self.until {
            facts.agreement_until_ms = until.unix_ms().unsigned_abs();
        }
        if self.no_end {
            facts.agreement_until_ms = 0;
        }
        if let Some(client) = self.client_of_ours {
            facts.client = client;
        }
        if let Some(sector) = self.sector {
            facts.set_sector(sector.into());
        }
        if let Some(country) = self.country {
            facts.country = country.to_string();
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct PartnerArgs {
    /// Name of the agency, for example jc3.or.jp.
    agency: AgencyName,
}

pub(super) async fn run(command: PartnerCommand, context: &Context) -> Result<(), CliError> {
    match command {
        PartnerCommand::Card => own_card(context).await,
        PartnerCommand::Add(args) => add(&args, context).await,
        PartnerCommand::List => list(context).await,
        PartnerCommand::Show(args) => show(&args, context).await,
        PartnerCommand::Agree(args) => agree(&args, context).await,
        PartnerCommand::Suspend(args) => {
            set_state(&args, pb::PartnerState::Suspended, context).await
        }
        PartnerCommand::Revoke(args) => set_state(&args, pb::PartnerState::Revoked, context).await,
        PartnerCommand::Resume(args) => set_state(&args, pb::PartnerState::Active, context).await,
    }
}

async fn client(context: &Context, natural: &[Role]) -> Result<Client, CliError> {
    context.channel(natural).await.map(PartnerServiceClient::new)
}

async fn own_card(context: &Context) -> Result<(), CliError> {
    let natural = [Role::Admin, Role::Analyst, Role::Auditor, Role::PolicyOfficer];
    let mut client = client(context, &natural).await?;
    let answer = client
        .get_own_card(context.request(pb::GetOwnCardRequest {}))
        .await
        .map_err(CliError::node("read our card"))?
        .into_inner();
    if context.output.format() != Format::Table {
        return context.output.document(json!({"card": answer.card, "number": answer.number}));
    }
    context.output.raw(harmless_lines(&answer.card).as_bytes())?;
    context.output.note(&format!("our number (read this to partners): {}", answer.number));
    Ok(())
}

async fn add(args: &AddArgs, context: &Context) -> Result<(), CliError> {
    let armour = read_card(&args.card)?;
    let verified = verify_card(&armour, &args.card)?;
    context.output.note(&card_text(verified.card()));
    let heard = heard_number(args, context).await?;
    if let Err(error) = check_number(&verified, &heard) {
        return Err(if is_own_number(&heard, context).await { own_number() } else { error });
    }
    let request = pb::AddPartnerRequest {
        card: armour,
        number: verified.number().to_string(),
        facts: args.facts(),
    };
    let mut client = client(context, &[Role::Admin]).await?;
    let answer = client
        .add_partner(context.request(request))
        .await
        .map_err(CliError::node("add the partner"))?
        .into_inner();
    let document = schema::to_json("AddPartnerResponse", &answer, Absent::Shown);
    context.output.either(document, || {
        let agency = verified.card().agency.to_string();
        let state = match &answer.partner {
            Some(partner) => names::word(partner.state()),
            None => "not a partner yet".to_owned(),
        };
        facts([
            ("partner", agency),
            ("state", state),
            ("what is agreed", roster::outcome(answer.act.as_ref())),
        ])
    })
}

async fn agree(args: &AgreeArgs, context: &Context) -> Result<(), CliError> {
    let mut client = roster::officer(context).await?;
    let before = roster::facts_of(&mut client, &args.agency, context).await?;
    let mut after = before.clone();
    args.change(&mut after);
    if after == before {
        let found = format!("the agreement with {} is like this already", args.agency);
        let fix =
            "give the option to change: --until, --no-end, --client-of-ours, --sector or --country";
        return Err(CliError::Precondition { found, fix: fix.into() });
    }
    roster::update(&mut client, &args.agency, before, after, context).await
}

impl AddArgs {
    /// Returns the facts to set; `None` if there are none, so that a known partner keeps its own.
    fn facts(&self) -> Option<pb::PartnerFacts> {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            names
        };
        let facts = pb::PartnerFacts {
            client: self.client_of_ours,
            agreement_until_ms: self
                .agreement_until
                .map_or(0, |time| time.unix_ms().unsigned_abs()),
            circles: sorted(&self.circle),
            operations: sorted(&self.operation),
            sector: self.sector.map_or(0, |sector| pb::Sector::from(sector).into()),
            country: self.country.map_or_else(String::new, |country| country.to_string()),
        };
        (facts != pb::PartnerFacts::default()).then_some(facts)
    }
}

/// The number as it was given, or as it is typed now.
async fn heard_number(args: &AddArgs, context: &Context) -> Result<HeardNumber, CliError> {
    let typed = match &args.number {
        Some(number) => number.clone(),
        None => {
            context.output.prompt(
                "Ask them to read their number. Type what you hear (six groups of five digits): ",
            );
            read_line().await?
        }
    };
    typed.parse().map_err(|error: crate::partner::NumberError| {
        CliError::usage(format!("the number is wrong: {error}"), "ask for those groups again")
    })
}

async fn read_line() -> Result<String, CliError> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = read.await.map_err(std::io::Error::other).and_then(|line| line);
    line.map_err(CliError::file("read", Path::new("stdin")))
}

fn check_number(verified: &VerifiedCard, heard: &HeardNumber) -> Result<(), CliError> {
    verified.number().matches(heard).map_err(|error| CliError::Verification {
        found: format!("the typed number is not the number of this card: {error}"),
    })
}

/// Returns whether the number is that of this node; not if the node cannot be asked.
async fn is_own_number(heard: &HeardNumber, context: &Context) -> bool {
    let Ok(mut client) = client(context, &[Role::Admin]).await else { return false };
    let Ok(answer) = client.get_own_card(context.request(pb::GetOwnCardRequest {})).await else {
        return false;
    };
    Card::verify(&answer.into_inner().card).is_ok_and(|own| own.number().matches(heard).is_ok())
}

fn own_number() -> CliError {
    CliError::usage(
        "this is the number of our own card; type the number of the partner's card",
        "type the number that the partner reads to you over the telephone",
    )
}

async fn list(context: &Context) -> Result<(), CliError> {
    let natural = [Role::Admin, Role::PolicyOfficer, Role::Auditor, Role::Analyst];
    let answer = client(context, &natural)
        .await?
        .list_partners(context.request(pb::ListPartnersRequest {}))
        .await
        .map_err(CliError::node("list the partners"))?
        .into_inner();
    match context.output.format() {
        Format::Table => context.output.table(&table_of(&answer.partners)),
        Format::Json => {
            context.output.document(schema::to_json("ListPartnersResponse", &answer, Absent::Shown))
        }
        Format::Ndjson => answer.partners.iter().try_for_each(|partner| {
            context.output.line_document(schema::to_json("PartnerView", partner, Absent::Shown))
        }),
    }
}

async fn show(args: &PartnerArgs, context: &Context) -> Result<(), CliError> {
    let request = pb::GetPartnerRequest { agency: args.agency.to_string() };
    let answer = client(context, &[Role::Admin, Role::PolicyOfficer, Role::Auditor])
        .await?
        .get_partner(context.request(request))
        .await
        .map_err(CliError::node(format!("show {}", args.agency)));
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(error) if error.exit() == Exit::NotFound => {
            let act = acts::proposed_partner(&args.agency, context).await;
            return Err(not_a_partner(&args.agency, act.ok().flatten(), error));
        }
        Err(error) => return Err(error),
    };
    let document = schema::to_json("GetPartnerResponse", &answer, Absent::Shown);
    context.output.either(document, || {
        let partner = answer.partner.unwrap_or_default();
        let card = Card::verify(&answer.card).map_or_else(
            |_| "its card does not verify here".to_owned(),
            |card| card_text(card.card()),
        );
        format!("{}\n\n{card}\nnumber         {}", partner_text(&partner), answer.number)
    })
}

/// Returns the error for an unknown partner: one that waits for approval gets another text than one
/// that nobody proposed.
fn not_a_partner(agency: &AgencyName, act: Option<u64>, error: CliError) -> CliError {
    match act {
        Some(act) => CliError::not_found(
            format!("{agency} is not a partner yet: it waits for approval, act {act}"),
            format!("liaison acts show {act}"),
        ),
        None => error.with_fix(tonic::Code::NotFound, "liaison partner list"),
    }
}

async fn set_state(
    args: &PartnerArgs,
    state: pb::PartnerState,
    context: &Context,
) -> Result<(), CliError> {
    let request =
        pb::SetPartnerStateRequest { agency: args.agency.to_string(), state: state.into() };
    let answer = client(context, &[Role::Admin, Role::PolicyOfficer])
        .await?
        .set_partner_state(context.request(request))
        .await
        .map_err(CliError::node(format!("change the state of {}", args.agency)))?
        .into_inner();
    let document = schema::to_json("SetPartnerStateResponse", &answer, Absent::Shown);
    context.output.either(document, || {
        let partner = answer.partner.clone().unwrap_or_default();
        let mut rows =
            vec![("partner", partner.agency.clone()), ("state", names::word(partner.state()))];
        if answer.act.is_some() {
            rows.push(("resumption", roster::outcome(answer.act.as_ref())));
        }
        facts(rows)
    })
}

/// The table of partners, here and in the status.
pub(super) fn table_of(partners: &[pb::PartnerView]) -> Table {
    let header = [
        "partner",
        "country",
        "state",
        "connected",
        "feed",
        "receipted",
        "received",
        "lag",
        "rescan",
        "refused",
        "problem",
    ];
    let mut table = Table::new(header).right(&[4, 5, 6, 7]).below(&[10, 9, 8]);
    for partner in partners {
        table.row([
            partner.agency.clone(),
            partner.country.clone(),
            names::word(partner.state()),
            if partner.connected { "yes" } else { "no" }.to_owned(),
            grouped(partner.feed_size),
            grouped(partner.receipted),
            grouped(partner.received),
            grouped(partner.lag_entries),
            rescan_text(partner),
            refused_text(partner),
            partner.last_error.clone(),
        ]);
    }
    table
}

/// Records and duties that the partner refused; nothing when it took everything.
fn refused_text(partner: &pb::PartnerView) -> String {
    let all = |counts: &[pb::Count]| counts.iter().map(|count| count.count).sum::<u64>();
    let text = match (all(&partner.refused), all(&partner.refused_duties)) {
        (0, 0) => String::new(),
        (records, 0) => counted(records, "record"),
        (0, duties) => format!("{} DUTIES", grouped(duties)),
        (records, duties) => {
            format!("{}, {} DUTIES", counted(records, "record"), grouped(duties))
        }
    };
    format!("{text}{}", contradicted_text(partner))
}

/// Refused duties that the partner's own receipt contradicts; nothing without any.
fn contradicted_text(partner: &pb::PartnerView) -> String {
    match partner.contradicted_duties {
        0 => String::new(),
        duties => format!(", {} AGAINST ITS OWN RECEIPT", grouped(duties)),
    }
}

/// Returns the partner's refusals by reason, and the time of the next offer.
pub(super) fn refused_by_reason(partner: &pb::PartnerView) -> String {
    let named = |what: &str, counts: &[pb::Count]| {
        let named = |count: &pb::Count| {
            let number = match what {
                "record" => counted(count.count, what),
                what => format!("{} {what}", grouped(count.count)),
            };
            format!("{number} ({})", count.name)
        };
        counts.iter().map(named).collect::<Vec<_>>()
    };
    let mut parts = named("record", &partner.refused);
    parts.extend(named("DUTIES", &partner.refused_duties));
    if let Some(last) = parts.last_mut() {
        last.push_str(&contradicted_text(partner));
    }
    if !parts.is_empty() && partner.offered_again_ms != 0 {
        parts.push(format!("offered again at {}", time_text(partner.offered_again_ms)));
    }
    parts.join(", ")
}

/// Returns the progress of the feed towards the state under the rules in force; empty when it is
/// there.
fn rescan_text(partner: &pb::PartnerView) -> String {
    match partner.to_rescan {
        0 => String::new(),
        all => format!("{} of {}", grouped(partner.rescanned), grouped(all)),
    }
}

fn partner_text(partner: &pb::PartnerView) -> String {
    let agreed = partner.facts.clone().unwrap_or_default();
    let denied =
        partner.denied.iter().map(|count| format!("{} by {}", grouped(count.count), count.name));
    let until = agreed.agreement_until_ms;
    let held = match partner.held {
        0 => String::new(),
        held => format!("{} held back; see `liaison release list`", counted(held, "record")),
    };
    facts([
        ("partner", partner.agency.clone()),
        ("state", names::word(partner.state())),
        ("connected", if partner.connected { "yes" } else { "no" }.to_owned()),
        ("circles", agreed.circles.join(", ")),
        ("operations", agreed.operations.join(", ")),
        ("sector", partner.sector.clone()),
        ("country", partner.country.clone()),
        ("our client", if agreed.client { "yes" } else { "no" }.to_owned()),
        (
            "agreement",
            if until == 0 { String::new() } else { format!("until {}", time_text(until)) },
        ),
        (
            "disclosed",
            format!(
                "{}, {} withheld",
                counted(partner.disclosed, "record"),
                counted(partner.fields_withheld, "field")
            ),
        ),
        (
            "feed",
            format!(
                "{} entries, {} receipted, {} exceptions",
                grouped(partner.feed_size),
                grouped(partner.receipted),
                grouped(partner.exceptions)
            ),
        ),
        ("received", format!("{} entries", grouped(partner.received))),
        ("denied", denied.collect::<Vec<_>>().join(", ")),
        ("held", held),
        ("refused", refused_by_reason(partner)),
        ("new partner", learning_text(partner)),
        ("receipt time", format!("{} ms (median)", partner.receipt_ms_p50)),
        ("problem", partner.last_error.clone()),
    ])
}

/// Returns until when what is sensitive waits because the partner is new; empty when it does not.
pub(super) fn learning_text(partner: &pb::PartnerView) -> String {
    match (partner.learning, partner.learning_until_ms) {
        (false, _) => String::new(),
        (true, 0) => "what is sensitive waits; nothing was disclosed to it yet".to_owned(),
        (true, until) => format!("what is sensitive waits until {}", time_text(until)),
    }
}

/// Every field that a person compares.
fn card_text(card: &Card) -> String {
    let joined = |texts: Vec<String>| texts.join(", ");
    let contacts = card.contacts.iter().map(|contact| {
        let parts = [&contact.role, &contact.name, &contact.phone, &contact.mail];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    });
    facts([
        ("agency", card.agency.to_string()),
        ("name", card.display_name.clone()),
        ("country", card.country.to_string()),
        ("sector", card.sector.to_string()),
        ("card", format!("{} of {}, valid to {}", card.serial, card.issued_at, card.expires_at)),
        ("addresses", joined(card.addresses.iter().map(ToString::to_string).collect())),
        ("identity key", card.identity_key.to_string()),
        ("record keys", card.record_keys.len().to_string()),
        ("contacts", joined(contacts.collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::tests::assert_fits;

    fn partner() -> pb::PartnerView {
        pb::PartnerView {
            agency: "jc3.or.jp".into(),
            country: "JP".into(),
            state: pb::PartnerState::Active.into(),
            connected: true,
            feed_size: 65_871,
            receipted: 65_000,
            lag_entries: 7,
            rescanned: 8_192,
            to_rescan: 66_010,
            ..Default::default()
        }
    }

    #[test]
    fn partners_are_rows_with_their_lag() {
        assert_eq!(
            table_of(&[partner()]).to_text(),
            "PARTNER    COUNTRY  STATE   CONNECTED    FEED  RECEIPTED  RECEIVED  LAG  RESCAN           REFUSED\n\
             jc3.or.jp  JP       active  yes        65,871     65,000         0    7  8,192 of 66,010"
        );
    }

    #[test]
    fn the_trouble_of_a_partner_stands_beneath_its_row() {
        let refused = vec![pb::Count { name: "policy".into(), count: 66_000 }];
        let last_error =
            "cannot connect to liaison.jc3.example:7443: connection refused".to_owned();
        let text = table_of(&[pb::PartnerView { refused, last_error, ..partner() }]).to_text();
        assert_fits(&text);
        for words in
            ["  refused  66,000 records", "  problem  cannot connect to liaison.jc3.example:7443"]
        {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn an_agency_that_waits_for_approval_is_told_from_one_that_nobody_proposed() {
        let agency = "jc3.or.jp".parse().unwrap();
        let error = || CliError::node("show jc3.or.jp")(tonic::Status::not_found("no"));
        let waiting = not_a_partner(&agency, Some(2), error());
        assert_eq!(waiting.exit(), Exit::NotFound);
        assert!(waiting.to_string().ends_with("it waits for approval, act 2"), "{waiting}");
        let unknown = not_a_partner(&agency, None, error());
        assert_eq!(unknown.fix().unwrap(), "liaison partner list");
    }

    #[test]
    fn one_record_is_counted_as_one() {
        let refused = vec![pb::Count { name: "policy".into(), count: 1 }];
        let partner = pb::PartnerView { refused, ..partner() };
        assert_eq!(refused_text(&partner), "1 record");
        assert_eq!(refused_by_reason(&partner), "1 record (policy)");
    }

    #[test]
    fn a_partner_is_a_document_with_every_name() {
        let document = schema::to_json("PartnerView", &partner(), Absent::Shown);
        assert_eq!(document["state"], "active");
        assert_eq!(document["receipted"], 65_000);
        assert_eq!(document["facts"], serde_json::Value::Null);
    }

    #[test]
    fn facts_are_sorted_and_without_repeats() {
        let args = AddArgs {
            card: "x".into(),
            number: None,
            circle: vec!["b".into(), "a".into(), "b".into()],
            operation: Vec::new(),
            sector: Some(Sector::Cert),
            country: Some("JP".parse().unwrap()),
            client_of_ours: true,
            agreement_until: None,
        };
        let facts = args.facts().unwrap();
        assert_eq!((facts.sector(), facts.country.as_str()), (pb::Sector::Cert, "JP"));
        assert_eq!((facts.circles, facts.agreement_until_ms), (vec!["a".into(), "b".into()], 0));
    }
}
