//! `liaison consent`: asking originators for their consent, and answering those who ask this agency.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::output::Format;
use crate::cli::schema::time_text;
use crate::cli::table::{Table, facts};
use crate::cli::wording::{purpose_of, scope_of};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb;
use crate::pb::consent_service_client::ConsentServiceClient;
use bytes::Bytes;
use serde_json::{Value, json};

/// Ask originators for their consent, and answer those who hold our records.
#[derive(Debug, clap::Subcommand)]
pub enum ConsentCommand {
    /// Ask the originator of records to let us pass them on, or use them as evidence.
    #[command(
        after_help = "Examples:\n  liaison consent ask 9f…e1 --for dcu.example --reason \"it hosts the pop-ups\"\n  liaison consent ask --operation chakra-v --of npa.go.jp --for dcu.example --reason \"takedowns\"\n  liaison consent ask 9f…e1 --evidence --reason \"trial of 7 May\"\n  liaison consent ask --all --circle fraud --of npa.go.jp --reason \"two members are partners of ours\"\n\nThe originator must be a partner of this node."
    )]
    Ask(AskArgs),
    /// Show requests and statements in both directions, newest first.
    #[command(after_help = "Example:\n  liaison consent list --open")]
    List(ListArgs),
    /// Grant the request of a partner.
    #[command(
        after_help = "Example:\n  liaison consent grant 4711 --until 2027-01-31\n\nA second person approves with `liaison acts approve N`. Without --record, --operation or --all it is for the requested records."
    )]
    Grant(GrantArgs),
    /// Give a consent without a request, or permit our own use of our records as evidence.
    #[command(
        after_help = "Examples:\n  liaison consent give jc3.or.jp --operation chakra-v --for dcu.example --until 2027-01-31\n  liaison consent give npa.go.jp 9f…e1 --evidence --until 2027-01-31\n  liaison consent give jc3.or.jp --all --circle fraud --until 2027-01-31\n\nA second person approves with `liaison acts approve N`."
    )]
    Give(GiveArgs),
    /// Refuse the request of a partner.
    #[command(
        after_help = "Example:\n  liaison consent refuse 4711 --reason \"the source is at risk\""
    )]
    Refuse(AnswerArgs),
    /// Take back a consent that this agency gave; disclosures that needed it are taken back from the partner.
    #[command(
        after_help = "Example:\n  liaison consent revoke 4720 --reason \"the case is closed\""
    )]
    Revoke(AnswerArgs),
}

/// The records that a consent is for.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ScopeArgs {
    /// Id of one record, or its first digits, six at the least; other revisions are not meant.
    record: Option<GivenId>,
    /// All records of a case, by the operation code in their header.
    #[arg(long, visible_alias = "case", value_name = "CODE")]
    operation: Option<String>,
    /// All records.
    #[arg(long)]
    all: bool,
}

/// The purpose of a consent.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct PurposeArgs {
    /// To pass them on to this partner of the holder.
    #[arg(long = "for", value_name = "PARTNER")]
    partner: Option<AgencyName>,
    /// To use them in judicial proceedings.
    #[arg(long)]
    evidence: bool,
    /// To pass records on to the members of this circle of the originator, if they are marked for it.
    /// The holder gets the roster of the circle and each change of it.
    #[arg(long, value_name = "CIRCLE")]
    circle: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct AskArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    purpose: PurposeArgs,
    /// The originator; not needed for one record.
    #[arg(long, value_name = "AGENCY", required_unless_present = "record")]
    of: Option<AgencyName>,
    /// Reason, for the person who decides there; at most 256 bytes.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only requests that wait for an answer, and consents in force.
    #[arg(long)]
    open: bool,
}

#[derive(Debug, clap::Args)]
pub struct GrantArgs {
    /// Number of the request, as `liaison consent list` shows it.
    number: u64,
    /// End of the consent; a date or a time as RFC 3339 writes it, at most five years from now.
    #[arg(long, value_name = "DATE")]
    until: Timestamp,
    /// For this one record instead of the requested ones.
    #[arg(long, value_name = "RECORD", conflicts_with_all = ["operation", "all"])]
    record: Option<GivenId>,
    /// For all records of a case instead, by the operation code in their header.
    #[arg(long, visible_alias = "case", value_name = "CODE", conflicts_with = "all")]
    operation: Option<String>,
    /// For all our records that the partner holds instead.
    #[arg(long)]
    all: bool,
    /// Reason, sent with the consent; at most 256 bytes.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub struct GiveArgs {
    /// The agency that holds the records: a partner, or this agency itself about evidence.
    holder: AgencyName,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    purpose: PurposeArgs,
    /// End of the consent; a date or a time as RFC 3339 writes it, at most five years from now.
    #[arg(long, value_name = "DATE")]
    until: Timestamp,
    /// Reason, sent with the consent; at most 256 bytes.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    /// Number of the consent, as `liaison consent list` shows it.
    number: u64,
    /// Reason, sent to the partner; at most 256 bytes.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(command: ConsentCommand, context: &Context) -> Result<(), CliError> {
    match command {
        ConsentCommand::Ask(args) => ask(args, context).await,
        ConsentCommand::List(args) => list(&args, context).await,
        ConsentCommand::Grant(args) => grant(args, context).await,
        ConsentCommand::Give(args) => give(args, context).await,
        ConsentCommand::Refuse(args) => refuse(args, context).await,
        ConsentCommand::Revoke(args) => revoke(args, context).await,
    }
}

fn with_scope(
    mut subject: pb::ConsentSubject,
    record: Option<RecordId>,
    operation: Option<String>,
) -> pb::ConsentSubject {
    let scope = match (record, operation) {
        (Some(id), _) => {
            subject.record_id = Bytes::copy_from_slice(id.as_bytes());
            pb::ConsentScope::Record
        }
        (None, Some(code)) => {
            subject.operation = code;
            pb::ConsentScope::Operation
        }
        (None, None) => pb::ConsentScope::All,
    };
    subject.scope = scope.into();
    subject
}

/// The whole id of a record that was named, as far as one was.
async fn whole(given: Option<GivenId>, context: &Context) -> Result<Option<RecordId>, CliError> {
    match given {
        Some(given) => {
            given.resolve(context, &[Role::Analyst, Role::PolicyOfficer]).await.map(Some)
        }
        None => Ok(None),
    }
}

async fn subject(
    purpose: PurposeArgs,
    scope: ScopeArgs,
    context: &Context,
) -> Result<pb::ConsentSubject, CliError> {
    let record = whole(scope.record, context).await?;
    let mut subject = pb::ConsentSubject::default();
    match (purpose.partner, purpose.circle) {
        (Some(partner), _) => {
            subject.purpose = pb::ConsentPurpose::Forward.into();
            subject.partner = partner.to_string();
        }
        (None, Some(circle)) => {
            subject.purpose = pb::ConsentPurpose::Circle.into();
            subject.circle = circle;
        }
        (None, None) => subject.purpose = pb::ConsentPurpose::Evidence.into(),
    }
    Ok(with_scope(subject, record, scope.operation))
}

async fn ask(args: AskArgs, context: &Context) -> Result<(), CliError> {
    let channel = context.channel(&[Role::Analyst, Role::PolicyOfficer]).await?;
    let request = pb::AskConsentRequest {
        originator: args.of.as_ref().map(ToString::to_string).unwrap_or_default(),
        subject: Some(subject(args.purpose, args.scope, context).await?),
        reason: args.reason,
    };
    let answer = ConsentServiceClient::new(channel)
        .ask_consent(context.request(request))
        .await
        .map_err(CliError::node("ask for consent"))?;
    let view = answer.into_inner().consent.unwrap_or_default();
    context.output.either(to_json(&view), || {
        facts([
            ("asked", view.originator.clone()),
            ("to let us", purpose_text(&view)),
            ("with", scope_text(&view)),
            ("number", view.entry.to_string()),
            ("next", "its answer shows in `liaison consent list`".to_owned()),
        ])
    })
}

async fn list(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst, Role::Auditor, Role::DataProtectionOfficer];
    let mut client = ConsentServiceClient::new(context.channel(&roles).await?);
    let answer = client
        .list_consents(context.request(pb::ListConsentsRequest { open: args.open }))
        .await
        .map_err(CliError::node("list consents"))?
        .into_inner();
    if context.output.format() != Format::Table {
        let consents: Vec<_> = answer.consents.iter().map(to_json).collect();
        return context.output.document(json!({"consents": consents, "more": answer.more}));
    }
    context.output.table(&table(&answer.consents))?;
    if answer.more {
        context.output.text("there are more than these; --open shows fewer")?;
    }
    Ok(())
}

fn table(consents: &[pb::ConsentView]) -> Table {
    let header = ["number", "", "originator", "holder", "may", "of", "until", "said"];
    let mut table = Table::new(header).right(&[0]).below(&[7, 4, 5]);
    for view in consents {
        let said = if view.said.is_empty() { &view.asked } else { &view.said };
        table.row([
            view.entry.to_string(),
            standing_text(view).to_owned(),
            view.originator.clone(),
            view.holder.clone(),
            purpose_text(view),
            scope_text(view),
            if view.valid_until_ms == 0 { String::new() } else { time_text(view.valid_until_ms) },
            said.clone(),
        ]);
    }
    table
}

fn standing_text(view: &pb::ConsentView) -> &'static str {
    match view.standing() {
        pb::ConsentStanding::Waiting => "waits",
        pb::ConsentStanding::Granted => "granted",
        pb::ConsentStanding::Refused => "refused",
        pb::ConsentStanding::Revoked => "revoked",
        pb::ConsentStanding::Ended => "ended",
        pb::ConsentStanding::Unspecified => "unknown",
    }
}

fn purpose_text(view: &pb::ConsentView) -> String {
    view.subject.as_ref().map(purpose_of).unwrap_or_default()
}

fn scope_text(view: &pb::ConsentView) -> String {
    view.subject.as_ref().map(scope_of).unwrap_or_default()
}

fn to_json(view: &pb::ConsentView) -> Value {
    json!({
        "number": view.entry.to_string(),
        "standing": standing_text(view),
        "originator": view.originator,
        "holder": view.holder,
        "may": purpose_text(view),
        "of": scope_text(view),
        "at": time_text(view.at_ms),
        "until": (view.valid_until_ms != 0).then(|| time_text(view.valid_until_ms)),
        "asked": view.asked,
        "said": view.said,
    })
}

async fn grant(args: GrantArgs, context: &Context) -> Result<(), CliError> {
    let GrantArgs { number, until, record, operation, all, reason } = args;
    let mut client = client(context, &[Role::PolicyOfficer, Role::Analyst]).await?;
    let record = whole(record, context).await?;
    let other = record.is_some() || operation.is_some() || all;
    let subject = if other {
        let listed = client
            .list_consents(context.request(pb::ListConsentsRequest { open: true }))
            .await
            .map_err(CliError::node("read the request"))?
            .into_inner();
        let asked = listed.consents.into_iter().find(|view| view.entry == number);
        let asked = asked.and_then(|view| view.subject).ok_or_else(|| {
            CliError::usage(
                format!("no request {number} waits for an answer"),
                "liaison consent list --open shows those that do",
            )
        })?;
        let pb::ConsentSubject { purpose, partner, circle, .. } = asked;
        let asked = pb::ConsentSubject { purpose, partner, circle, ..Default::default() };
        Some(with_scope(asked, record, operation))
    } else {
        None
    };
    let request = pb::ProposeConsentRequest {
        request_entry: number,
        holder: String::new(),
        subject,
        valid_until_ms: until.unix_ms().unsigned_abs(),
        reason,
    };
    propose(client, request, context).await
}

async fn give(args: GiveArgs, context: &Context) -> Result<(), CliError> {
    let client = client(context, &[Role::PolicyOfficer, Role::Analyst]).await?;
    let request = pb::ProposeConsentRequest {
        request_entry: 0,
        holder: args.holder.to_string(),
        subject: Some(subject(args.purpose, args.scope, context).await?),
        valid_until_ms: args.until.unix_ms().unsigned_abs(),
        reason: args.reason,
    };
    propose(client, request, context).await
}

type Client = ConsentServiceClient<tonic::transport::Channel>;

async fn client(context: &Context, roles: &[Role]) -> Result<Client, CliError> {
    Ok(ConsentServiceClient::new(context.channel(roles).await?))
}

async fn propose(
    mut client: Client,
    request: pb::ProposeConsentRequest,
    context: &Context,
) -> Result<(), CliError> {
    let answer = client
        .propose_consent(context.request(request))
        .await
        .map_err(CliError::node("propose the consent"))?;
    let act = answer.into_inner().act.unwrap_or_default();
    let waits_for = crate::cli::wording::waits_for(&act);
    let proposed = act.proposed.unwrap_or_default().act.and_then(|act| act.act);
    let Some(pb::act::Act::GrantConsent(granted)) = proposed else {
        let fix = "is the node of another version? `liaison acts list` shows the act";
        return Err(CliError::usage("the node proposed an act of another kind", fix));
    };
    let subject = granted.subject.unwrap_or_default();
    let (may, of) = (purpose_of(&subject), scope_of(&subject));
    let until = time_text(granted.valid_until_ms);
    let document = json!({
        "act": act.proposal,
        "holder": granted.holder,
        "may": may,
        "of": of,
        "until": until,
        "wanted_roles": act.wanted_roles,
    });
    context.output.either(document, || {
        facts([
            ("act", act.proposal.to_string()),
            ("holder", granted.holder.clone()),
            ("may", may.clone()),
            ("of", of.clone()),
            ("until", until.clone()),
            ("waits for", waits_for.clone()),
            ("next", format!("liaison acts approve {}", act.proposal)),
        ])
    })
}

async fn refuse(args: AnswerArgs, context: &Context) -> Result<(), CliError> {
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    let request = pb::RefuseConsentRequest { entry: args.number, reason: args.reason };
    let answer = client
        .refuse_consent(context.request(request))
        .await
        .map_err(CliError::node("refuse the request"))?;
    print_entry("refused", answer.into_inner().entry, context)
}

async fn revoke(args: AnswerArgs, context: &Context) -> Result<(), CliError> {
    let mut client = client(context, &[Role::PolicyOfficer]).await?;
    let request = pb::RevokeConsentRequest { entry: args.number, reason: args.reason };
    let answer = client
        .revoke_consent(context.request(request))
        .await
        .map_err(CliError::node("revoke the consent"))?;
    print_entry("revoked", answer.into_inner().entry, context)
}

fn print_entry(what: &'static str, entry: u64, context: &Context) -> Result<(), CliError> {
    let document = json!({ "done": what, "journal_entry": entry.to_string() });
    context.output.either(document, || facts([(what, format!("in journal entry {entry}"))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_may_do_what_with_which_records_and_until_when() {
        let view = pb::ConsentView {
            entry: 4_711,
            originator: "npa.go.jp".into(),
            holder: "jc3.or.jp".into(),
            subject: Some(pb::ConsentSubject {
                purpose: pb::ConsentPurpose::Forward.into(),
                partner: "dcu.example".into(),
                scope: pb::ConsentScope::Operation.into(),
                operation: "chakra-v".into(),
                ..Default::default()
            }),
            standing: pb::ConsentStanding::Granted.into(),
            at_ms: 1_763_800_000_000,
            valid_until_ms: 1_769_817_600_000,
            asked: "takedowns".into(),
            said: String::new(),
        };
        let text = table(std::slice::from_ref(&view)).to_text();
        assert_eq!(
            text,
            "NUMBER           ORIGINATOR  HOLDER     OF                  UNTIL\n\
             \u{20} 4711  granted  npa.go.jp   jc3.or.jp  operation chakra-v  2026-01-31T00:00:00.000Z\n\
             \u{20} may   pass on to dcu.example\n\
             \u{20} said  takedowns"
        );
        assert_eq!(to_json(&view)["until"], time_text(1_769_817_600_000));
    }
}
