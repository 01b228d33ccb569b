//! `liaison acts`: acts that take two persons, and the second person's decision.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::names::word_of_number;
use crate::cli::output::{Format, harmless_lines};
use crate::cli::policy_difference::{SHORT_DIGITS, change_word, difference_text, in_short};
use crate::cli::schema::{self, Absent, hex, time_text};
use crate::cli::table::{Table, facts};
use crate::cli::wording::{purpose_of, rules_text, scope_of, slots_text, waits_for};
use crate::ident::AgencyName;
use crate::numerals::grouped;
use crate::partner::VerifiedCard;
use crate::pb::act_service_client::ActServiceClient;
use crate::pb::policy_service_client::PolicyServiceClient;
use crate::pb::{self, act::Act};
use crate::policy::Sector;
use bytes::Bytes;
use serde_json::{Value, json};
use tonic::Code;

/// Characters of a record id or of a bundle's hash.
const ID_DIGITS: usize = 64;

/// The roles that may see acts, and those that may decide on one.
const READERS: [Role; 5] =
    [Role::PolicyOfficer, Role::DataProtectionOfficer, Role::Analyst, Role::Auditor, Role::Admin];
const DECIDERS: [Role; 3] = [Role::PolicyOfficer, Role::DataProtectionOfficer, Role::Analyst];

/// See and decide on acts that take two persons.
#[derive(Debug, clap::Subcommand)]
pub enum ActsCommand {
    /// Show the acts that wait for another person.
    #[command(after_help = "Example:\n  liaison acts list")]
    List,
    /// Show one act in full; of a policy also what it would newly show and hide.
    #[command(after_help = "Example:\n  liaison acts show 4711")]
    Show(ActArgs),
    /// Approve an act that another person proposed.
    #[command(
        after_help = "Example:\n  liaison acts approve 4711 --client tanaka.client\n\nThe last approval that is needed carries the act out at once. A policy is counted over all records\nagain before that; if it shows more by then than its diff did, nothing is done (exit code 9)."
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
    /// Reason, for the other persons; at most 1,024 bytes. Required to refuse.
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
    let mut client = ActServiceClient::new(context.channel(&READERS).await?);
    let answer = client
        .list_acts(context.request(pb::ListActsRequest {}))
        .await
        .map_err(CliError::node("read the acts"))?;
    Ok(answer.into_inner().acts)
}

/// Returns the hashes of the bundles that wait for approval.
pub(super) async fn proposed_bundles(context: &Context) -> Result<Vec<Bytes>, CliError> {
    let acts = waiting(context).await?;
    let bundle = |view: &pb::ActView| match act_of(view) {
        Some(Act::ApplyPolicy(policy)) => Some(policy.bundle_hash.clone()),
        _ => None,
    };
    Ok(acts.iter().filter_map(bundle).collect())
}

/// Commands that list acts, waiting and decided.
const LISTS: &str = "`liaison acts list` shows those that wait; what was carried out stands in `liaison policy log`, \
                     `liaison partner list` and `liaison record erasures`";

fn with_next_step(error: CliError, act: u64) -> CliError {
    let other = format!(
        "another person, in a role that `liaison acts list` names, decides: liaison acts approve {act} --client THEIRS"
    );
    error.with_fix(Code::PermissionDenied, other).with_fix(Code::NotFound, LISTS)
}

/// Returns the number of the act that would make an agency a partner, if one waits.
pub(super) async fn proposed_partner(
    agency: &AgencyName,
    context: &Context,
) -> Result<Option<u64>, CliError> {
    let acts = waiting(context).await?;
    let adds = |view: &&pb::ActView| match act_of(view) {
        Some(Act::AddPartner(act)) => addition_text(act).1 == agency.as_str(),
        _ => false,
    };
    Ok(acts.iter().find(adds).map(|view| view.proposal))
}

async fn list(context: &Context) -> Result<(), CliError> {
    let acts = waiting(context).await?;
    if context.output.format() != Format::Table {
        let acts: Vec<_> = acts.iter().map(to_json).collect();
        return context.output.document(json!({"acts": acts}));
    }
    context.output.table(&table(&acts))
}

fn table(acts: &[pb::ActView]) -> Table {
    let header = ["act", "asked by", "what", "about", "waits for"];
    let mut table = Table::new(header).right(&[0]).below(&[2, 4]);
    for act in acts {
        let proposed = act.proposed.clone().unwrap_or_default();
        let (what, about) = summary(act);
        let about = match about.len() {
            ID_DIGITS => about.chars().take(SHORT_DIGITS).collect(),
            _ => about,
        };
        let cells = [
            act.proposal.to_string(),
            format!("{} ({})", proposed.client, proposed.role),
            what,
            about,
            waits_for(act),
        ];
        table.row(cells);
    }
    table
}

async fn show(act: u64, context: &Context) -> Result<(), CliError> {
    let acts = waiting(context).await?;
    let found = acts.iter().find(|view| view.proposal == act);
    let Some(act) = found else {
        return Err(CliError::not_found(format!("no act {act} waits for a decision"), LISTS));
    };
    let Some(Act::ApplyPolicy(policy)) = act_of(act) else {
        return context.output.either(to_json(act), || text(act));
    };
    let difference = difference(policy.comparison, context).await?;
    let mut document = to_json(act);
    if let Value::Object(fields) = &mut document {
        let shown = schema::to_json("PolicyDifference", &difference, Absent::Shown);
        fields.insert("difference".to_owned(), shown);
    }
    context.output.either(document, || {
        let difference = difference_text(&difference, policy.comparison);
        format!("{}\n\n{}", text(act), harmless_lines(&difference))
    })
}

/// Fetches the policy difference that was shown to the proposer.
async fn difference(comparison: u64, context: &Context) -> Result<pb::PolicyDifference, CliError> {
    let readers = [Role::PolicyOfficer, Role::DataProtectionOfficer, Role::Auditor];
    let answer = PolicyServiceClient::new(context.channel(&readers).await?)
        .get_policy_difference(context.request(pb::GetPolicyDifferenceRequest { comparison }))
        .await
        .map_err(CliError::node("read the diff"))?;
    Ok(answer.into_inner().difference.unwrap_or_default())
}

async fn decide(args: DecideArgs, approved: bool, context: &Context) -> Result<(), CliError> {
    let mut client = ActServiceClient::new(context.channel(&DECIDERS).await?);
    let DecideArgs { act, reason } = args;
    let answer = client
        .decide_act(context.long_request(pb::DecideActRequest { proposal: act, approved, reason }))
        .await
        .map_err(CliError::node("decide on the act"))
        .map_err(|error| with_next_step(error, act))?
        .into_inner();
    let outcome = match (approved, answer.carried_out) {
        (false, _) => "refused",
        (true, true) => "approved and carried out",
        (true, false) => "approved; another approval is needed",
    };
    let document = json!({"act": act, "approved": approved, "carried_out": answer.carried_out});
    context
        .output
        .either(document, || facts([("act", act.to_string()), ("outcome", outcome.into())]))
}

fn act_of(view: &pb::ActView) -> Option<&Act> {
    view.proposed.as_ref().and_then(|proposed| proposed.act.as_ref()?.act.as_ref())
}

/// Returns the deed of an act, and its record, partner or bundle.
fn summary(view: &pb::ActView) -> (String, String) {
    match act_of(view) {
        Some(Act::Erase(erase)) => {
            let basis = word_of_number::<pb::ErasureBasis>(erase.basis);
            let slots = slots_text(erase.slots);
            let what = format!("erase slots {slots} ({basis}, {})", erase.authority);
            (what, hex(&erase.record_id))
        }
        Some(Act::ApplyPolicy(policy)) => {
            let change = change_word(policy.change);
            let counts = in_short(policy.newly_shown, policy.newly_hidden, &policy.revealed);
            let again = match policy.restores {
                0 => String::new(),
                version => format!(" of version {version} again"),
            };
            let what = format!("put a {change} policy{again} in force ({counts})");
            (what, hex(&policy.bundle_hash))
        }
        Some(Act::ChangeFacts(change)) => (facts_text(change), change.agency.clone()),
        Some(Act::AddPartner(act)) => addition_text(act),
        Some(Act::ResumePartner(act)) => {
            (format!("resume exchange with {}", act.agency), act.agency.clone())
        }
        Some(Act::Release(release)) => {
            let verb = if release.released { "release" } else { "refuse" };
            let (records, rules) = (grouped(release.records), rules_text(release.rules));
            let why = format!("{verb} {records} held for {} ({rules})", release.partner);
            (format!("{why}: {}", release.reason), String::new())
        }
        Some(Act::GrantConsent(act)) => {
            let subject = act.subject.clone().unwrap_or_default();
            let (may, until) = (purpose_of(&subject), time_text(act.valid_until_ms));
            (format!("let {} {may} until {until}: {}", act.holder, act.reason), scope_of(&subject))
        }
        None => ("of an unknown sort".to_owned(), String::new()),
    }
}

/// Returns the facts of a new partner in words, with the number that a second person may compare too.
fn addition_text(act: &pb::AddPartnerAct) -> (String, String) {
    let Ok(card) = VerifiedCard::try_from(act.card.clone().unwrap_or_default()) else {
        return ("add a partner whose card does not verify here".to_owned(), String::new());
    };
    let agency = card.card().agency.to_string();
    let facts = facts_text(&pb::ChangeFactsAct {
        agency: agency.clone(),
        before: None,
        after: act.facts.clone(),
        reveals: act.reveals,
    });
    (format!("add partner {agency}: {facts}; number {}", card.number()), agency)
}

/// Returns the circles, operations and other facts that a change would give a partner or take away.
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
    // Circles and operations come first, because a table cuts off the end.
    if before.sector != after.sector {
        let sector = Sector::from_wire(after.sector()).map_or("none", Sector::name);
        said.push(format!("be of sector {sector}"));
    }
    if before.country != after.country {
        said.push(format!("be in country {}", after.country));
    }
    let text = said.join(", ");
    if change.reveals {
        format!("{text} (may show it personal data or sensitive fields)")
    } else {
        text
    }
}

fn text(view: &pb::ActView) -> String {
    let proposed = view.proposed.clone().unwrap_or_default();
    let (what, about) = summary(view);
    let note = match act_of(view) {
        Some(Act::ApplyPolicy(policy)) => policy.note.clone(),
        _ => String::new(),
    };
    let decisions = view.decisions.iter().map(|decision| {
        let word = if decision.approved { "approved" } else { "refused" };
        format!("{word} by {} ({})", decision.client, decision.role)
    });
    facts([
        ("act", view.proposal.to_string()),
        ("what", what),
        ("about", about),
        ("asked by", format!("{} ({})", proposed.client, proposed.role)),
        ("note", note),
        ("asked at", time_text(view.proposed_at_ms)),
        ("until", time_text(proposed.expires_at_ms)),
        ("decisions", decisions.collect::<Vec<_>>().join(", ")),
        ("waits for", waits_for(view)),
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
    use crate::cli::table::tests::assert_fits;

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
    fn acts_are_rows_of_a_page() {
        let act = pb::ResumePartnerAct { agency: "jc3.or.jp".into(), ..Default::default() };
        let release = pb::ReleaseAct {
            partner: "dcu.example".into(),
            rules: 0b1100,
            records: 66_000,
            released: true,
            reason: "results of the joint operation, as agreed on 3 May".into(),
            ..Default::default()
        };
        let view = |proposal, act| pb::ActView {
            proposal,
            proposed: Some(pb::ActProposed {
                client: "data-protection-officer".into(),
                role: "data-protection-officer".into(),
                act: Some(pb::Act { act: Some(act) }),
                ..Default::default()
            }),
            wanted_roles: vec!["data-protection-officer".into(), "policy-officer".into()],
            ..Default::default()
        };
        let acts = [view(7, Act::ResumePartner(act)), view(1_207, Act::Release(release))];
        let text = table(&acts).to_text();
        assert_fits(&text);
        assert!(text.contains("  what       resume exchange with jc3.or.jp\n"), "{text}");
        assert!(text.contains("release 66,000 held for dcu.example"), "{text}");
    }

    #[test]
    fn an_act_over_a_policy_says_what_it_newly_shows_and_who_must_agree() {
        let policy = pb::ApplyPolicyAct {
            bundle_hash: vec![0xcd; 32].into(),
            change: pb::PolicyChange::Revealing.into(),
            newly_shown: 1_100,
            newly_hidden: 2,
            revealed: vec!["notes".into()],
            note: "as agreed on 3 May".into(),
            ..pb::ApplyPolicyAct::default()
        };
        let view = pb::ActView {
            proposal: 9,
            proposed: Some(pb::ActProposed {
                client: "sato".into(),
                role: "policy-officer".into(),
                act: Some(pb::Act { act: Some(Act::ApplyPolicy(policy)) }),
                expires_at_ms: 1_763_800_000_000,
            }),
            proposed_at_ms: 1_763_800_000_000,
            wanted_roles: vec!["data-protection-officer".into(), "policy-officer".into()],
            decisions: Vec::new(),
        };
        let text = text(&view);
        assert!(
            text.contains("put a revealing policy in force (+1,100 −2, reveals notes)"),
            "{text}"
        );
        assert!(text.contains("about      cdcdcd"), "{text}");
        assert!(text.contains("note       as agreed on 3 May"), "{text}");
        assert!(text.contains("waits for  data-protection-officer and policy-officer"), "{text}");
    }

    #[test]
    fn an_act_that_cannot_be_decided_names_who_decides_or_where_to_look() {
        let fix = |code| {
            let error = CliError::node("decide on the act")(tonic::Status::new(code, "no"));
            with_next_step(error, 2).fix().unwrap()
        };
        assert!(fix(Code::PermissionDenied).ends_with("liaison acts approve 2 --client THEIRS"));
        assert!(fix(Code::NotFound).contains("liaison acts list"));
        assert!(fix(Code::Unavailable).starts_with("try again"));
    }

    #[test]
    fn a_circle_stands_before_what_a_table_cuts_off() {
        let after = pb::PartnerFacts {
            circles: vec!["fraud-desk".into()],
            country: "JP".into(),
            sector: pb::Sector::Police.into(),
            ..pb::PartnerFacts::default()
        };
        let change = pb::ChangeFactsAct { after: Some(after), ..pb::ChangeFactsAct::default() };
        assert_eq!(
            facts_text(&change),
            "join circle fraud-desk, be of sector police, be in country JP"
        );
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
            reveals: false,
        };
        let said = "join circle c, leave circle a, become our client, agreement without end";
        assert_eq!(facts_text(&change), said);
        let revealing = pb::ChangeFactsAct { reveals: true, ..change };
        assert!(
            facts_text(&revealing).ends_with("end (may show it personal data or sensitive fields)")
        );
    }
}
