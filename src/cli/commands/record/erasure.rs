//! `liaison record erase`, `erasures`, `restrict` and `unrestrict`.

use super::which::{Which, read};
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::names::{self, word, word_of_number};
use crate::cli::output::Format;
use crate::cli::record_view::RecordText;
use crate::cli::schema::{hex, time_text};
use crate::cli::table::{Table, facts};
use crate::cli::wording::{slot_numbers, slots_text};
use crate::ident::RecordId;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;
use bytes::Bytes;
use serde_json::{Value, json};

/// Characters of a record id in a table.
const SHORT_ID_DIGITS: usize = 12;

#[derive(Debug, clap::Args)]
pub struct EraseArgs {
    /// Id of any revision, or its first digits, six at the least; all revisions here are erased.
    id: GivenId,
    /// Fields by name or slot number, with commas between; `all` for every one.
    #[arg(long, value_delimiter = ',', required = true)]
    slots: Vec<String>,
    /// Legal ground: led-16, gdpr-17, court-order, supervisory-order, retention, agreement.
    #[arg(long, value_parser = names::parse::<pb::ErasureBasis>)]
    basis: pb::ErasureBasis,
    /// Authority that ordered it, or the file number; at most 256 bytes. Partners don't see it.
    #[arg(long)]
    authority: String,
}

#[derive(Debug, clap::Args)]
pub struct ErasuresArgs {
    /// Only those of this record: its id, or its first digits, six at the least.
    id: Option<GivenId>,
    /// Only those that a partner has not answered yet.
    #[arg(long)]
    outstanding: bool,
}

#[derive(Debug, clap::Args)]
pub struct HoldArgs {
    /// Id of the record, or its first digits, six at the least.
    id: GivenId,
    /// Reason for it; at most 1,024 bytes. It stands in the journal.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub struct EndHoldArgs {
    #[command(flatten)]
    hold: HoldArgs,
    /// Confirm that the end of the hold erases the fields that their originator ordered erased meanwhile.
    #[arg(long)]
    erase_ordered: bool,
}

type Client = RecordServiceClient<tonic::transport::Channel>;

async fn client(context: &Context, roles: &[Role]) -> Result<Client, CliError> {
    context.channel(roles).await.map(RecordServiceClient::new)
}

pub(super) async fn erase(args: &EraseArgs, context: &Context) -> Result<(), CliError> {
    let (slots, id) = slot_mask(args, context).await?;
    let request = pb::EraseRecordRequest {
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        slots,
        basis: args.basis.into(),
        authority: args.authority.clone(),
    };
    let answer = client(context, &[Role::Analyst, Role::PolicyOfficer])
        .await?
        .erase_record(context.request(request))
        .await
        .map_err(CliError::node("propose the erasure"))?
        .into_inner();
    let act = answer.act.unwrap_or_default();
    let document = json!({
        "act": act.proposal,
        "record": id.to_string(),
        "slots": slot_numbers(slots),
        "wanted_roles": act.wanted_roles,
    });
    context.output.either(document, || {
        facts([
            ("act", act.proposal.to_string()),
            ("slots", slots_text(slots)),
            ("waits for", crate::cli::wording::waits_for(&act)),
            ("next", format!("liaison acts approve {}", act.proposal)),
        ])
    })
}

/// The slots that were named, looked up in the record itself.
async fn slot_mask(args: &EraseArgs, context: &Context) -> Result<(u32, RecordId), CliError> {
    let id = args.id.resolve(context, &[Role::Analyst, Role::PolicyOfficer]).await?;
    let (answer, _) = read(&Which::Given(GivenId::of(id)), context).await?;
    let record = RecordText::from_view(&answer.record.unwrap_or_default());
    let mut mask = 0;
    for wanted in &args.slots {
        let chosen = record.slots.iter().filter(|slot| {
            wanted == "all" || *wanted == slot.name || *wanted == slot.number.to_string()
        });
        let bits = chosen.fold(0, |mask, slot| mask | 1 << slot.number);
        if bits == 0 {
            let names: Vec<_> = record.slots.iter().map(|slot| slot.name.as_str()).collect();
            let found = format!("this record has no field {wanted:?}");
            return Err(CliError::usage(found, format!("fields: {}", names.join(", "))));
        }
        mask |= bits;
    }
    Ok((mask, id))
}

pub(super) async fn report(args: &ErasuresArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::Analyst, Role::Auditor, Role::PolicyOfficer];
    let id = match &args.id {
        Some(id) => Some(id.resolve(context, &roles).await?),
        None => None,
    };
    let mut client = client(context, &roles).await?;
    let mut before = 0;
    let (mut erasures, mut damaged) = (Vec::new(), 0);
    let index_pending = loop {
        let request = pb::ListErasuresRequest {
            record_id: id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            outstanding: args.outstanding,
            before,
        };
        let answer = client
            .list_erasures(context.request(request))
            .await
            .map_err(CliError::node("read the erasures"))?
            .into_inner();
        erasures.extend(answer.erasures);
        damaged += answer.damaged;
        before = answer.next_before;
        if before == 0 {
            break answer.index_pending;
        }
    };
    if context.output.format() != Format::Table {
        let erasures: Vec<_> = erasures.iter().map(to_json).collect();
        let document = json!({
            "erasures": erasures,
            "index_pending": index_pending,
            "damaged": damaged,
        });
        return context.output.document(document);
    }
    context.output.table(&table(&erasures))?;
    context.output.note_damaged(damaged, "erasures");
    if index_pending {
        context
            .output
            .text("\nthe search index is being written anew without the erased fields")?;
    }
    Ok(())
}

fn table(erasures: &[pb::ErasureView]) -> Table {
    let header = [
        "record",
        "slots",
        "basis",
        "erased at",
        "done",
        "outstanding",
        "held",
        "refused",
        "contradicted",
    ];
    let mut table = Table::new(header).below(&[4, 8, 7, 6, 5, 1]);
    for view in erasures {
        let erased = view.erased.clone().unwrap_or_default();
        let partners = |progress: pb::ErasureProgress| {
            let with = view.partners.iter().filter(|partner| partner.progress() == progress);
            with.map(|partner| partner.agency.as_str()).collect::<Vec<_>>().join(" ")
        };
        let record: String = hex(&erased.record_id).chars().take(SHORT_ID_DIGITS).collect();
        let cells = [
            record,
            slots_text(erased.slots),
            word_of_number::<pb::ErasureBasis>(erased.basis),
            time_text(view.at_ms),
            partners(pb::ErasureProgress::Done),
            partners(pb::ErasureProgress::Outstanding),
            partners(pb::ErasureProgress::Held),
            partners(pb::ErasureProgress::Refused),
            partners(pb::ErasureProgress::Contradicted),
        ];
        table.row(cells);
    }
    table
}

fn to_json(view: &pb::ErasureView) -> Value {
    let erased = view.erased.clone().unwrap_or_default();
    let partners = view.partners.iter().map(|partner| {
        json!({
            "agency": partner.agency,
            "progress": word(partner.progress()),
            "feed_index": partner.feed_index,
        })
    });
    json!({
        "journal_index": view.journal_index,
        "erased_at": time_text(view.at_ms),
        "record": hex(&erased.record_id),
        "slots": slot_numbers(erased.slots),
        "basis": word_of_number::<pb::ErasureBasis>(erased.basis),
        "authority": erased.authority,
        "act": erased.proposal,
        "from_partner": erased.partner,
        "ordered": erased.order.is_some(),
        "partners": partners.collect::<Vec<_>>(),
    })
}

pub(super) async fn restrict(args: &HoldArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::Analyst, Role::PolicyOfficer];
    let id = args.id.resolve(context, &roles).await?;
    let record_id = Bytes::copy_from_slice(id.as_bytes());
    let reason = args.reason.clone();
    let request = pb::RestrictRecordRequest { record_id, reason };
    client(context, &[Role::Analyst, Role::PolicyOfficer])
        .await?
        .restrict_record(context.request(request))
        .await
        .map_err(CliError::node("put the record under a hold"))?;
    let document = json!({"record": id.to_string(), "restricted": true});
    context.output.either(document, || {
        facts([("record", id.to_string()), ("now", "under a hold".to_owned())])
    })
}

pub(super) async fn unrestrict(args: &EndHoldArgs, context: &Context) -> Result<(), CliError> {
    let HoldArgs { id, reason } = &args.hold;
    let id = id.resolve(context, &[Role::PolicyOfficer]).await?;
    let request = pb::UnrestrictRecordRequest {
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        reason: reason.clone(),
        erases: args.erase_ordered,
    };
    let answer = client(context, &[Role::PolicyOfficer])
        .await?
        .unrestrict_record(context.request(request))
        .await
        .map_err(CliError::node("end the hold"))?
        .into_inner();
    let erased = answer.erased_slots;
    let document = json!({
        "record": id.to_string(),
        "restricted": false,
        "erased_slots": slot_numbers(erased),
    });
    context.output.either(document, || {
        let mut rows = vec![("record", id.to_string()), ("now", "under no hold".to_owned())];
        if erased != 0 {
            rows.push(("erased with it", format!("slots {}", slots_text(erased))));
        }
        facts(rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::wording::notes_text;

    #[test]
    fn the_report_names_who_is_done_who_owes_and_who_holds() {
        let partner = |agency: &str, progress: pb::ErasureProgress| pb::PartnerErasure {
            agency: agency.into(),
            progress: progress.into(),
            feed_index: Some(3),
        };
        let view = pb::ErasureView {
            journal_index: 9,
            at_ms: 1_763_800_000_000,
            erased: Some(pb::SlotsErased {
                record_id: vec![0xab; 32].into(),
                slots: 0b10010,
                basis: pb::ErasureBasis::Led16.into(),
                ..Default::default()
            }),
            partners: vec![
                partner("a.example", pb::ErasureProgress::Done),
                partner("b.example", pb::ErasureProgress::Outstanding),
                partner("c.example", pb::ErasureProgress::Held),
                partner("d.example", pb::ErasureProgress::Contradicted),
            ],
        };
        assert_eq!(
            table(std::slice::from_ref(&view)).to_text(),
            "RECORD        SLOTS  BASIS   ERASED AT                 OUTSTANDING  HELD       REFUSED  CONTRADICTED\n\
             abababababab  1, 4   led-16  2025-11-22T08:26:40.000Z  b.example    c.example           d.example\n  done  a.example"
        );
        assert_eq!(to_json(&view)["partners"][2]["progress"], "held");
        assert_eq!(notes_text(&[]), "");
    }
}
