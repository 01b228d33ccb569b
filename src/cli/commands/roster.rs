//! `liaison circle` and `liaison operation`: which partners belong together.
//!
//! Rosters are this agency's own business: they are read and changed here, by people of this agency,
//! and nothing of them is ever sent to a partner. To join shows a partner more, so it takes a second
//! person.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::schema::{self, Absent};
use crate::cli::table::{Table, facts};
use crate::ident::AgencyName;
use crate::pb::{self, partner_service_client::PartnerServiceClient};

type Client = PartnerServiceClient<tonic::transport::Channel>;

/// See and change who belongs to a circle: the community that TLP:GREEN means.
#[derive(Debug, clap::Subcommand)]
pub enum CircleCommand {
    /// Show all circles with their partners.
    #[command(after_help = "Example:\n  liaison circle list")]
    List,
    /// Add a partner to a circle; a second person approves.
    #[command(after_help = "Example:\n  liaison circle add fraud-desk jc3.or.jp")]
    Add(MemberArgs),
    /// Remove a partner from a circle; at once if the partner can only see less after that.
    #[command(after_help = "Example:\n  liaison circle remove fraud-desk jc3.or.jp")]
    Remove(MemberArgs),
}

/// See and change who takes part in a joint operation.
#[derive(Debug, clap::Subcommand)]
pub enum OperationCommand {
    /// Show all operations with their partners.
    #[command(after_help = "Example:\n  liaison operation list")]
    List,
    /// Add a partner to an operation; a second person approves.
    #[command(after_help = "Example:\n  liaison operation add chakra jc3.or.jp")]
    Add(MemberArgs),
    /// Remove a partner from an operation; at once if the partner can only see less after that.
    #[command(after_help = "Example:\n  liaison operation remove chakra jc3.or.jp")]
    Remove(MemberArgs),
}

#[derive(Debug, clap::Args)]
pub struct MemberArgs {
    /// Name of the circle or operation, for example fraud-desk.
    name: String,
    /// Name of the partner, for example jc3.or.jp.
    partner: AgencyName,
}

/// The kind of group that partners belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Roster {
    Circles,
    Operations,
}

impl Roster {
    const fn word(self) -> &'static str {
        match self {
            Self::Circles => "circle",
            Self::Operations => "operation",
        }
    }

    const fn names(self, facts: &pb::PartnerFacts) -> &Vec<String> {
        match self {
            Self::Circles => &facts.circles,
            Self::Operations => &facts.operations,
        }
    }

    const fn names_mut(self, facts: &mut pb::PartnerFacts) -> &mut Vec<String> {
        match self {
            Self::Circles => &mut facts.circles,
            Self::Operations => &mut facts.operations,
        }
    }
}

pub(super) async fn circle(command: CircleCommand, context: &Context) -> Result<(), CliError> {
    match command {
        CircleCommand::List => list(Roster::Circles, context).await,
        CircleCommand::Add(args) => change(Roster::Circles, &args, true, context).await,
        CircleCommand::Remove(args) => change(Roster::Circles, &args, false, context).await,
    }
}

pub(super) async fn operation(
    command: OperationCommand,
    context: &Context,
) -> Result<(), CliError> {
    match command {
        OperationCommand::List => list(Roster::Operations, context).await,
        OperationCommand::Add(args) => change(Roster::Operations, &args, true, context).await,
        OperationCommand::Remove(args) => change(Roster::Operations, &args, false, context).await,
    }
}

async fn list(roster: Roster, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Admin, Role::Auditor, Role::Analyst];
    let mut client = PartnerServiceClient::new(context.channel(&roles).await?);
    let answer = client
        .list_partners(context.request(pb::ListPartnersRequest {}))
        .await
        .map_err(CliError::node("list the partners"))?;
    let members = members(roster, &answer.into_inner().partners);
    let word = roster.word();
    if context.output.format() != crate::cli::output::Format::Table {
        let rows: Vec<_> = members.iter().map(|(n, p)| json!({"name": n, "partners": p})).collect();
        return context.output.document(json!({ format!("{word}s"): rows }));
    }
    let mut table = Table::new([word, "partners"]).below(&[1]);
    for (name, partners) in members {
        table.row([name, partners.join(", ")]);
    }
    context.output.table(&table)
}

fn members(roster: Roster, partners: &[pb::PartnerView]) -> BTreeMap<String, Vec<String>> {
    let mut members = BTreeMap::<String, Vec<String>>::new();
    for partner in partners {
        for name in partner.facts.iter().flat_map(|facts| roster.names(facts)) {
            members.entry(name.clone()).or_default().push(partner.agency.clone());
        }
    }
    members
}

async fn change(
    roster: Roster,
    args: &MemberArgs,
    joins: bool,
    context: &Context,
) -> Result<(), CliError> {
    let mut client = officer(context).await?;
    let before = facts_of(&mut client, &args.partner, context).await?;
    let mut after = before.clone();
    let names = roster.names_mut(&mut after);
    if names.contains(&args.name) == joins {
        let word = if joins { "already belongs" } else { "does not belong" };
        let found = format!("{} {word} to {} {}", args.partner, roster.word(), args.name);
        return Err(CliError::Precondition { found, fix: "no change is needed".into() });
    }
    match joins {
        true => names.push(args.name.clone()),
        false => names.retain(|name| *name != args.name),
    }
    update(&mut client, &args.partner, before, after, context).await
}

pub(super) async fn officer(context: &Context) -> Result<Client, CliError> {
    let roles = [Role::PolicyOfficer, Role::Admin];
    context.channel(&roles).await.map(PartnerServiceClient::new)
}

/// Fetches the agreement with a partner.
pub(super) async fn facts_of(
    client: &mut Client,
    partner: &AgencyName,
    context: &Context,
) -> Result<pb::PartnerFacts, CliError> {
    let request = pb::GetPartnerRequest { agency: partner.to_string() };
    let answer = client
        .get_partner(context.request(request))
        .await
        .map_err(CliError::node(format!("read the agreement with {partner}")))?;
    Ok(answer.into_inner().partner.and_then(|partner| partner.facts).unwrap_or_default())
}

/// Changes the agreement with a partner; returns its state: in force or waiting.
pub(super) async fn update(
    client: &mut Client,
    partner: &AgencyName,
    before: pb::PartnerFacts,
    after: pb::PartnerFacts,
    context: &Context,
) -> Result<(), CliError> {
    let request = pb::UpdatePartnerFactsRequest {
        agency: partner.to_string(),
        facts: Some(after),
        before: Some(before),
    };
    let answer = client
        .update_partner_facts(context.request(request))
        .await
        .map_err(CliError::node(format!("change the agreement with {partner}")))?
        .into_inner();
    let document = schema::to_json("UpdatePartnerFactsResponse", &answer, Absent::Shown);
    context.output.either(document, || {
        let state = outcome(answer.act.as_ref());
        facts([("partner", partner.to_string()), ("outcome", state)])
    })
}

/// Returns the text of a change's state: in force, or the approvals that it waits for.
pub(super) fn outcome(act: Option<&pb::ActView>) -> String {
    act.map_or_else(
        || "in force".to_owned(),
        |act| {
            let (number, roles) = (act.proposal, crate::cli::wording::waits_for(act));
            let persons = match act.wanted_roles.len() {
                0 | 1 => "a second person",
                _ => "further persons",
            };
            format!("waits for {persons} ({roles}): liaison acts approve {number}")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_names_everybody_who_belongs() {
        let partner = |agency: &str, circles: &[&str]| pb::PartnerView {
            agency: agency.into(),
            facts: Some(pb::PartnerFacts {
                circles: circles.iter().map(|name| (*name).to_owned()).collect(),
                operations: vec!["chakra".into()],
                ..pb::PartnerFacts::default()
            }),
            ..pb::PartnerView::default()
        };
        let partners = [
            partner("a.example", &["x", "y"]),
            partner("b.example", &["y"]),
            partner("c.example", &[]),
        ];
        let circles = members(Roster::Circles, &partners);
        assert_eq!(circles["x"], ["a.example"]);
        assert_eq!(circles["y"], ["a.example", "b.example"]);
        let operations = members(Roster::Operations, &partners);
        assert_eq!(operations["chakra"], ["a.example", "b.example", "c.example"]);
    }

    #[test]
    fn what_waits_is_said_with_the_command_that_ends_the_waiting() {
        assert_eq!(outcome(None), "in force");
        let act = pb::ActView {
            proposal: 17,
            wanted_roles: vec!["policy-officer".into()],
            ..pb::ActView::default()
        };
        assert_eq!(
            outcome(Some(&act)),
            "waits for a second person (policy-officer): liaison acts approve 17"
        );
        let both = vec!["data-protection-officer".into(), "policy-officer".into()];
        assert_eq!(
            outcome(Some(&pb::ActView { wanted_roles: both, ..act })),
            "waits for further persons (data-protection-officer and policy-officer): liaison acts \
             approve 17"
        );
    }
}
