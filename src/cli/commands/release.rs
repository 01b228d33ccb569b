//! `liaison release`: disclosures that the brake holds for a person, and what is to become of them.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::schema::{hex, time_text};
use crate::cli::table::{Table, facts};
use crate::cli::wording::rules_text;
use crate::ident::AgencyName;
use crate::numerals::grouped;
use crate::pb;
use crate::pb::release_service_client::ReleaseServiceClient;
use crate::policy::{Reasons, Unusual};
use serde_json::{Value, json};

/// See what is held because it is unusual, and let it go or not.
#[derive(Debug, clap::Subcommand)]
pub enum ReleaseCommand {
    /// Show the held disclosures, by partner and reason.
    #[command(after_help = "Example:\n  liaison release list --partner dcu.example")]
    List(ListArgs),
    /// Propose to release a bundle; policy decides on each record anew.
    #[command(
        after_help = "Example:\n  liaison release allow dcu.example volume --reason \"the takedowns of operation 7\"\n\nA second person approves with `liaison acts approve N`."
    )]
    Allow(BundleArgs),
    /// Propose never to release a bundle.
    #[command(
        after_help = "Example:\n  liaison release refuse dcu.example new-kind+personal-data --reason \"the wrong policy\"\n\nA second person approves with `liaison acts approve N`."
    )]
    Refuse(BundleArgs),
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only disclosures to this partner.
    #[arg(long, value_name = "AGENCY")]
    partner: Option<AgencyName>,
}

#[derive(Debug, clap::Args)]
pub struct BundleArgs {
    /// The partner.
    partner: AgencyName,
    /// Reason for the hold, as `liaison release list` shows it: rules with + between.
    held_for: Reasons,
    /// Reason, for the second person; at most 1,024 bytes.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(command: ReleaseCommand, context: &Context) -> Result<(), CliError> {
    match command {
        ReleaseCommand::List(args) => list(&args, context).await,
        ReleaseCommand::Allow(args) => propose(args, true, context).await,
        ReleaseCommand::Refuse(args) => propose(args, false, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst, Role::Auditor];
    let mut client = ReleaseServiceClient::new(context.channel(&roles).await?);
    let agency = args.partner.as_ref().map(ToString::to_string).unwrap_or_default();
    let answer = client
        .list_held(context.request(pb::ListHeldRequest { agency }))
        .await
        .map_err(CliError::node("read the held disclosures"))?;
    let bundles = answer.into_inner().bundles;
    if context.output.format() != Format::Table {
        let bundles: Vec<_> = bundles.iter().map(to_json).collect();
        return context.output.document(json!({"held": bundles}));
    }
    context.output.table(&table(&bundles))?;
    let of_new = |bundle: &pb::HeldBundle| {
        Reasons::from_bits(bundle.rules).is_some_and(|rules| rules.contains(Unusual::NewPartner))
    };
    if bundles.iter().any(of_new) {
        context.output.note(
            "new-partner: sensitive records wait during a partner's learning days; `liaison partner \
             show` names their end",
        );
    }
    Ok(())
}

fn table(bundles: &[pb::HeldBundle]) -> Table {
    let header = ["partner", "held for", "records", "since", "first"];
    let mut table = Table::new(header).right(&[2]).below(&[4, 1]);
    for bundle in bundles {
        let first = bundle.record_ids.first().map(|id| hex(id)).unwrap_or_default();
        table.row([
            bundle.agency.clone(),
            rules_text(bundle.rules),
            grouped(bundle.records),
            time_text(bundle.since_ms),
            first,
        ]);
    }
    table
}

fn to_json(bundle: &pb::HeldBundle) -> Value {
    json!({
        "partner": bundle.agency,
        "held_for": rules_text(bundle.rules),
        "records": bundle.records,
        "since": time_text(bundle.since_ms),
        "samples": bundle.record_ids.iter().map(|id| hex(id)).collect::<Vec<_>>(),
    })
}

async fn propose(args: BundleArgs, released: bool, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst];
    let mut client = ReleaseServiceClient::new(context.channel(&roles).await?);
    let BundleArgs { partner, held_for, reason } = args;
    let request = pb::ProposeReleaseRequest {
        agency: partner.to_string(),
        rules: held_for.bits(),
        released,
        reason,
    };
    let answer = client
        .propose_release(context.request(request))
        .await
        .map_err(CliError::node("propose the decision"))?
        .into_inner();
    let act = answer.act.unwrap_or_default();
    let waits_for = crate::cli::wording::waits_for(&act);
    let proposed = act.proposed.unwrap_or_default().act.and_then(|act| act.act);
    let records = match proposed {
        Some(pb::act::Act::Release(release)) => release.records,
        _ => 0,
    };
    let document = json!({
        "act": act.proposal,
        "partner": partner.to_string(),
        "held_for": held_for.to_string(),
        "released": released,
        "records": records,
        "wanted_roles": act.wanted_roles,
    });
    context.output.either(document, || {
        facts([
            ("act", act.proposal.to_string()),
            ("partner", partner.to_string()),
            ("held for", held_for.to_string()),
            ("records", grouped(records)),
            ("waits for", waits_for.clone()),
            ("next", format!("liaison acts approve {}", act.proposal)),
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::tests::assert_fits;

    #[test]
    fn a_bundle_shows_why_it_waits_and_how_much_it_is() {
        let bundle = pb::HeldBundle {
            agency: "dcu.example".into(),
            rules: 0b1100,
            records: 66_000,
            since_ms: 1_763_800_000_000,
            record_ids: vec![vec![0xab; 32].into()],
        };
        let text = table(std::slice::from_ref(&bundle)).to_text();
        assert_fits(&text);
        assert!(text.contains("dcu.example  new-kind+personal-data"), "{text}");
        assert!(text.ends_with(&format!("  first  {}", "ab".repeat(32))), "{text}");
        assert!(text.contains("66,000"), "{text}");
        assert_eq!(to_json(&bundle)["held_for"], "new-kind+personal-data");
        assert_eq!(rules_text(1), "0x1");
    }
}
