//! `liaison policy log`: which policy was in force when, who wanted it, who approved, what it changed.

use bytes::Bytes;
use serde_json::json;

use super::client::Client;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::policy_difference::{change_word, in_short, short};
use crate::cli::schema::{self, Absent, time_text};
use crate::cli::table::Table;
use crate::pb;

/// The roles that read policies.
pub(super) const READERS: &[Role] =
    &[Role::PolicyOfficer, Role::DataProtectionOfficer, Role::Auditor, Role::Admin];

#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// Only versions below this one.
    #[arg(long, value_name = "NUMBER", default_value = "0", hide_default_value = true)]
    before: u64,
}

pub(super) async fn run(
    args: &LogArgs,
    client: &mut Client,
    context: &Context,
) -> Result<(), CliError> {
    let answer = client
        .list_policies(context.request(pb::ListPoliciesRequest { before: args.before }))
        .await
        .map_err(CliError::node("read the versions of the policy"))?
        .into_inner();
    if context.output.format() != Format::Table {
        let versions: Vec<_> = answer
            .versions
            .iter()
            .map(|view| schema::to_json("PolicyVersionView", view, Absent::Shown))
            .collect();
        return context.output.document(
            json!({"versions": versions, "more": answer.more, "damaged": answer.damaged}),
        );
    }
    context.output.table(&table(&answer.versions))?;
    context.output.note_damaged(answer.damaged, "entries");
    if answer.more {
        let oldest = answer.versions.last().and_then(|view| view.applied.as_ref());
        let oldest = oldest.map_or(0, |applied| applied.version);
        context.output.note(&format!("older versions: liaison policy log --before {oldest}"));
    }
    Ok(())
}

/// Returns the hashes of the bundles of all versions.
pub(super) async fn bundles(
    client: &mut Client,
    context: &Context,
) -> Result<Vec<Bytes>, CliError> {
    let mut hashes = Vec::new();
    let mut before = 0;
    loop {
        let answer = client
            .list_policies(context.request(pb::ListPoliciesRequest { before }))
            .await
            .map_err(CliError::node("read the versions of the policy"))?
            .into_inner();
        let applied = answer.versions.iter().filter_map(|view| view.applied.as_ref());
        hashes.extend(applied.clone().map(|applied| applied.bundle_hash.clone()));
        match applied.map(|applied| applied.version).min() {
            Some(oldest) if answer.more && (before == 0 || oldest < before) => before = oldest,
            _ => return Ok(hashes),
        }
    }
}

fn table(versions: &[pb::PolicyVersionView]) -> Table {
    let header = [
        "version",
        "in force from",
        "proposed by",
        "approved by",
        "change",
        "diff",
        "bundle",
        "note",
    ];
    let mut table = Table::new(header).right(&[0]).below(&[7, 3, 5, 2]);
    for view in versions {
        let applied = view.applied.clone().unwrap_or_default();
        let compared = view.compared.clone().unwrap_or_default();
        let approvals = view.approvals.iter().map(|d| format!("{} ({})", d.client, d.role));
        let again = match applied.restores {
            0 => String::new(),
            version => format!("version {version} again. "),
        };
        let mut revealed: Vec<String> =
            compared.partners.iter().flat_map(|partner| partner.revealed.clone()).collect();
        revealed.sort_unstable();
        revealed.dedup();
        table.row([
            applied.version.to_string(),
            time_text(view.at_ms),
            applied.client,
            approvals.collect::<Vec<_>>().join(", "),
            change_word(applied.change),
            in_short(applied.newly_shown, applied.newly_hidden, &revealed),
            short(&applied.bundle_hash),
            format!("{again}{}", applied.note),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::tests::assert_fits;

    #[test]
    fn a_version_names_who_wanted_it_who_approved_and_what_it_changed() {
        let approval = |client: &str, role: &str| pb::ActDecided {
            client: client.into(),
            role: role.into(),
            approved: true,
            ..pb::ActDecided::default()
        };
        let view = pb::PolicyVersionView {
            at_ms: 1_763_800_000_000,
            journal_index: 12,
            applied: Some(pb::PolicyApplied {
                version: 2,
                bundle_hash: vec![0xef; 32].into(),
                client: "sato".into(),
                change: pb::PolicyChange::Revealing.into(),
                newly_shown: 5,
                restores: 1,
                note: "back again".into(),
                ..pb::PolicyApplied::default()
            }),
            approvals: vec![
                approval("tanaka", "policy-officer"),
                approval("mori", "data-protection-officer"),
            ],
            compared: Some(pb::PolicyCompared {
                partners: vec![pb::PolicyCount {
                    revealed: vec!["notes".into()],
                    ..pb::PolicyCount::default()
                }],
                ..pb::PolicyCompared::default()
            }),
        };
        let text = table(&[view]).to_text();
        assert_fits(&text);
        for part in [
            "approved by  tanaka (policy-officer), mori (data-protection-officer)",
            "revealing",
            "+5 −0, reveals notes",
            "efefefefefef",
            "version 1 again. back again",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
