//! `liaison acts`: acts that take two persons, and the second person's decision.

use serde_json::{Value, json};

use super::Context;
use super::connection::Role;
use super::erasure::slots_text;
use super::error::CliError;
use super::names::word_of_number;
use super::output::Format;
use super::schema::{hex, time_text};
use super::table::{Table, facts};
use crate::pb::act_service_client::ActServiceClient;
use crate::pb::{self, act::Act};

/// Characters of a record id, and of those that a table shows.
const ID_DIGITS: usize = 64;
const SHORT_ID_DIGITS: usize = 12;

/// See and decide on acts that take two persons.
#[derive(Debug, clap::Subcommand)]
pub enum ActsCommand {
    /// Show what waits for a second person.
    #[command(after_help = "Example:\n  liaison acts list")]
    List,
    /// Show one act in full.
    #[command(after_help = "Example:\n  liaison acts show 4711")]
    Show(ActArgs),
    /// Approve an act that somebody else asked for.
    #[command(
        after_help = "Example:\n  liaison acts approve 4711 --client tanaka.client\n\nThe last approval that is needed carries the act out at once."
    )]
    Approve(DecideArgs),
    /// Refuse an act.
    #[command(after_help = "Example:\n  liaison acts refuse 4711 --reason \"the wrong record\"")]
    Refuse(DecideArgs),
}

#[derive(Debug, clap::Args)]
pub struct ActArgs {
    /// Number of the act, as `liaison acts list` shows it.
    act: u64,
}

#[derive(Debug, clap::Args)]
pub struct DecideArgs {
    /// Number of the act, as `liaison acts list` shows it.
    act: u64,
    /// For the others; at most 1,024 bytes. Wanted to refuse.
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) async fn run(command: ActsCommand, context: &Context) -> Result<(), CliError> {
    match command {
        ActsCommand::List => list(context).await,
        ActsCommand::Show(args) => show(args.act, context).await,
        ActsCommand::Approve(args) => decide(args, true, context).await,
        ActsCommand::Refuse(args) => decide(args, false, context).await,
    }
}

async fn waiting(context: &Context) -> Result<Vec<pb::ActView>, CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst, Role::Auditor];
    let mut client = ActServiceClient::new(context.channel(&roles).await?);
    let answer = client
        .list_acts(context.request(pb::ListActsRequest {}))
        .await
        .map_err(CliError::node("read the acts"))?;
    Ok(answer.into_inner().acts)
}

async fn list(context: &Context) -> Result<(), CliError> {
    let acts = waiting(context).await?;
    if context.output.format() != Format::Table {
        let acts: Vec<_> = acts.iter().map(to_json).collect();
        return context.output.document(json!({"acts": acts}));
    }
    let mut table = Table::new(["act", "asked by", "what", "about", "waits for"]).right(&[0]);
    for act in &acts {
        let proposed = act.proposed.clone().unwrap_or_default();
        let (what, about) = summary(act);
        let about = match about.len() {
            ID_DIGITS => about.chars().take(SHORT_ID_DIGITS).collect(),
            _ => about,
        };
        let cells = [
            act.proposal.to_string(),
            format!("{} ({})", proposed.client, proposed.role),
            what,
            about,
            act.wanted_roles.join(" or "),
        ];
        table.row(cells);
    }
    context.output.table(&table)
}

async fn show(act: u64, context: &Context) -> Result<(), CliError> {
    let acts = waiting(context).await?;
    let found = acts.iter().find(|view| view.proposal == act);
    let Some(act) = found else { return Err(CliError::NotFound { what: "the act".into() }) };
    context.output.either(to_json(act), || text(act))
}

async fn decide(args: DecideArgs, approved: bool, context: &Context) -> Result<(), CliError> {
    let mut client =
        ActServiceClient::new(context.channel(&[Role::PolicyOfficer, Role::Analyst]).await?);
    let DecideArgs { act, reason } = args;
    let answer = client
        .decide_act(context.request(pb::DecideActRequest { proposal: act, approved, reason }))
        .await
        .map_err(CliError::node("decide on the act"))?
        .into_inner();
    let outcome = match (approved, answer.carried_out) {
        (false, _) => "refused",
        (true, true) => "approved and carried out",
        (true, false) => "approved; another approval is wanted",
    };
    let document = json!({"act": act, "approved": approved, "carried_out": answer.carried_out});
    context
        .output
        .either(document, || facts([("act", act.to_string()), ("outcome", outcome.into())]))
}

/// What is to be done, and to which record or partner.
fn summary(view: &pb::ActView) -> (String, String) {
    let act = view.proposed.as_ref().and_then(|proposed| proposed.act.as_ref()?.act.as_ref());
    match act {
        Some(Act::Erase(erase)) => {
            let basis = word_of_number::<pb::ErasureBasis>(erase.basis);
            let slots = slots_text(erase.slots);
            (format!("erase slots {slots} ({basis}, {})", erase.authority), hex(&erase.record_id))
        }
        Some(Act::ChangeFacts(change)) => (facts_text(change), change.agency.clone()),
        None => ("of an unknown sort".to_owned(), String::new()),
    }
}

/// What a partner would join, leave, or be from then on.
fn facts_text(change: &pb::ChangeFactsAct) -> String {
    let before = change.before.clone().unwrap_or_default();
    let after = change.after.clone().unwrap_or_default();
    let mut said = Vec::new();
    for (word, had, has) in [
        ("circle", &before.circles, &after.circles),
        ("operation", &before.operations, &after.operations),
    ] {
        said.extend(has.iter().filter(|n| !had.contains(n)).map(|n| format!("join {word} {n}")));
        said.extend(had.iter().filter(|n| !has.contains(n)).map(|n| format!("leave {word} {n}")));
    }
    match (before.client, after.client) {
        (false, true) => said.push("become our client".to_owned()),
        (true, false) => said.push("be our client no longer".to_owned()),
        _ => {}
    }
    if before.agreement_until_ms != after.agreement_until_ms {
        said.push(match after.agreement_until_ms {
            0 => "agreement without end".to_owned(),
            until => format!("agreement until {}", time_text(until)),
        });
    }
    said.join(", ")
}

fn text(view: &pb::ActView) -> String {
    let proposed = view.proposed.clone().unwrap_or_default();
    let (what, about) = summary(view);
    let decisions = view.decisions.iter().map(|decision| {
        let word = if decision.approved { "approved" } else { "refused" };
        format!("{word} by {} ({})", decision.client, decision.role)
    });
    facts([
        ("act", view.proposal.to_string()),
        ("what", what),
        ("about", about),
        ("asked by", format!("{} ({})", proposed.client, proposed.role)),
        ("asked at", time_text(view.proposed_at_ms)),
        ("until", time_text(proposed.expires_at_ms)),
        ("decisions", decisions.collect::<Vec<_>>().join(", ")),
        ("waits for", view.wanted_roles.join(" or ")),
    ])
}

fn to_json(view: &pb::ActView) -> Value {
    let proposed = view.proposed.clone().unwrap_or_default();
    let (what, about) = summary(view);
    json!({
        "act": view.proposal,
        "what": what,
        "about": about,
        "client": proposed.client,
        "role": proposed.role,
        "proposed_at": time_text(view.proposed_at_ms),
        "expires_at": time_text(proposed.expires_at_ms),
        "approved_by": view.decisions.iter().map(|d| d.client.clone()).collect::<Vec<_>>(),
        "wanted_roles": view.wanted_roles,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_says_who_wants_what_and_who_must_agree() {
        let erase = pb::EraseAct {
            record_id: vec![0xab; 32].into(),
            slots: 0b1010,
            basis: pb::ErasureBasis::CourtOrder.into(),
            authority: "district court 4 O 17/26".into(),
            series_head: Default::default(),
        };
        let view = pb::ActView {
            proposal: 7,
            proposed: Some(pb::ActProposed {
                client: "sato".into(),
                role: "analyst".into(),
                act: Some(pb::Act { act: Some(Act::Erase(erase)) }),
                expires_at_ms: 1_763_800_000_000,
            }),
            proposed_at_ms: 1_763_800_000_000,
            wanted_roles: vec!["policy-officer".into()],
            decisions: Vec::new(),
        };
        let text = text(&view);
        assert!(
            text.contains("erase slots 1, 3 (court-order, district court 4 O 17/26)"),
            "{text}"
        );
        assert!(text.contains("waits for  policy-officer"), "{text}");
        assert_eq!(to_json(&view)["client"], "sato");
    }

    #[test]
    fn a_change_of_facts_says_what_the_partner_would_join_and_leave() {
        let facts = |circles: &[&str], client, agreement_until_ms| pb::PartnerFacts {
            circles: circles.iter().map(|name| (*name).to_owned()).collect(),
            client,
            agreement_until_ms,
            ..pb::PartnerFacts::default()
        };
        let change = pb::ChangeFactsAct {
            agency: "jc3.or.jp".into(),
            before: Some(facts(&["a", "b"], false, 1_763_800_000_000)),
            after: Some(facts(&["b", "c"], true, 0)),
        };
        let said = "join circle c, leave circle a, become our client, agreement without end";
        assert_eq!(facts_text(&change), said);
    }
}
