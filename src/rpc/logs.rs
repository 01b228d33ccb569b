//! `LogService`: checkpoints, proofs and entries of the journal and of the feeds.
//!
//! Every answer is about a size that was signed: never about leaves behind the newest checkpoint.

use super::{
    ANSWER_BYTES_MAX, Answers, Context, agency, history, record_id, record_proof, refusal,
    visibility_of,
};
use crate::ident::TreeHash;
use crate::journal::JournalError;
use crate::journal::ids::FeedNumber;
use crate::journal::view::View;
use crate::pb;
use crate::pb::get_inclusion_proof_request::Leaf;
use crate::pb::journal_entry::Event;
use crate::pb::log_service_server::LogService;
use crate::policy::{self, Visibility};
use bytes::Bytes;
use tonic::{Request, Response, Status};

const ENTRIES_DEFAULT: u64 = 100;
const ENTRIES_MAX: u64 = 1_000;

pub(super) struct Logs(pub(super) Context);

/// One log at its newest checkpoint.
#[derive(Clone)]
struct Chosen {
    /// The feed to this partner, or the journal.
    feed: Option<FeedNumber>,
    size: u64,
    note: Bytes,
}

impl Chosen {
    fn inclusion(&self, view: &View, index: u64, size: u64) -> Result<Vec<TreeHash>, JournalError> {
        match self.feed {
            Some(number) => view.feed(number)?.inclusion(index, size),
            None => view.journal().inclusion(index, size),
        }
    }

    fn consistency(&self, view: &View, old: u64, new: u64) -> Result<Vec<TreeHash>, JournalError> {
        match self.feed {
            Some(number) => view.feed(number)?.consistency(old, new),
            None => view.journal().consistency(old, new),
        }
    }

    fn entry(&self, view: &View, index: u64) -> Result<Bytes, JournalError> {
        match self.feed {
            Some(number) => {
                let entries = view.feed_entries(number, index..index + 1)?;
                entries
                    .into_iter()
                    .next()
                    .ok_or_else(|| JournalError::Index(format!("feed entry {index} is not there")))
            }
            None => view.entry_bytes(index),
        }
    }

    /// Returns whether a caller may see the bytes of a leaf.
    fn is_seen(&self, visibility: &Visibility, entry: &Bytes) -> bool {
        if self.feed.is_some() {
            return visibility.of_leaf(policy::Leaf::Feed);
        }
        let decoded = <pb::JournalEntry as prost::Message>::decode(&entry[..]);
        match decoded.ok().and_then(|entry| entry.event) {
            Some(Event::RecordAccepted(accepted)) => {
                visibility.of_leaf(policy::Leaf::Acceptance(&accepted.client))
            }
            _ => visibility.of_leaf(policy::Leaf::Event),
        }
    }

    /// The size that is asked about; 0 asks about the newest.
    fn size_asked(&self, field: &str, asked: u64) -> Result<u64, Status> {
        match asked {
            0 => Ok(self.size),
            asked if asked <= self.size => Ok(asked),
            asked => Err(Status::out_of_range(format!(
                "{field}: {asked} is beyond the log's size {}; ask for 0 to get the newest",
                self.size
            ))),
        }
    }
}

impl Logs {
    /// A feed to a partner that the caller may not know of is not there.
    fn choose(&self, feed: &str, visibility: &Visibility) -> Result<Chosen, Status> {
        let snapshot = self.0.node.view().snapshot();
        if feed.is_empty() {
            return Ok(Chosen { feed: None, size: snapshot.size, note: snapshot.note.clone() });
        }
        let partner = snapshot.state.partners.get(&agency("feed", feed)?);
        let partner = partner.filter(|_| visibility.names_partners()).ok_or_else(|| {
            Status::not_found(format!(
                "there is no partner {feed}; `liaison partner list` shows all"
            ))
        })?;
        Ok(Chosen {
            feed: Some(partner.feed),
            size: partner.published.size,
            note: partner.published.note.clone(),
        })
    }
}

#[tonic::async_trait]
impl LogService for Logs {
    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::GetCheckpointResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let Chosen { note, .. } = self.choose(&request.into_inner().feed, &visibility)?;
        if note.is_empty() {
            return Err(Status::failed_precondition("nothing was published in this log yet"));
        }
        Ok(Response::new(pb::GetCheckpointResponse { note }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Result<Response<pb::GetInclusionProofResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::GetInclusionProofRequest { feed, leaf, tree_size } = request.into_inner();
        let log = self.choose(&feed, &visibility)?;
        let tree_size = log.size_asked("tree_size", tree_size)?;
        let index = match leaf {
            Some(Leaf::Index(index)) => index,
            Some(Leaf::RecordId(_)) if log.feed.is_some() => {
                let text = "record ids are looked up in the journal only; give an index";
                return Err(refusal::invalid("record_id", text));
            }
            Some(Leaf::RecordId(id)) => {
                let id = record_id(&id)?;
                let (asked, log) = (visibility.clone(), log.clone());
                let found = self.0.read(move |view| {
                    let Some(place) = view.place(&id)? else { return Ok(None) };
                    let entry = log.entry(view, place.journal_index)?;
                    Ok(log.is_seen(&asked, &entry).then_some(place.journal_index))
                });
                let unknown = || Status::not_found(format!("this node holds no record {id}"));
                found.await?.ok_or_else(unknown)?
            }
            None => return Err(refusal::invalid("leaf", "give an index or a record_id")),
        };
        if index >= tree_size {
            return Err(Status::out_of_range(format!(
                "leaf {index} is not in a tree of size {tree_size}"
            )));
        }
        let note = log.note.clone();
        let (entry, path) = self
            .0
            .read(move |view| {
                let mut entry = log.entry(view, index)?;
                if !log.is_seen(&visibility, &entry) {
                    entry = Bytes::new();
                }
                Ok((entry, log.inclusion(view, index, tree_size)?))
            })
            .await?;
        Ok(Response::new(pb::GetInclusionProofResponse {
            index,
            entry,
            path: wire(&path),
            tree_size,
            note,
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Result<Response<pb::GetConsistencyProofResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::GetConsistencyProofRequest { feed, old_size, new_size } = request.into_inner();
        let log = self.choose(&feed, &visibility)?;
        let new_size = log.size_asked("new_size", new_size)?;
        if !(1..=new_size).contains(&old_size) {
            return Err(Status::out_of_range(format!(
                "old_size: {old_size} is not between 1 and new_size {new_size}"
            )));
        }
        let note = log.note.clone();
        let path = self.0.read(move |view| log.consistency(view, old_size, new_size)).await?;
        Ok(Response::new(pb::GetConsistencyProofResponse { path: wire(&path), new_size, note }))
    }

    async fn get_record_proof(
        &self,
        request: Request<pb::GetRecordProofRequest>,
    ) -> Result<Response<pb::GetRecordProofResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let id = record_id(&request.into_inner().record_id)?;
        let (own, now) = (self.0.node.agency().clone(), self.0.node.now());
        let proof = self.0.read(move |view| {
            match record_proof::collect(view, (&own, now), &id, &visibility)? {
                Some(proof) => Ok(Some(match record_proof::unnamed_originator(view, &own, &id)? {
                    Some(originator) => Err(originator),
                    None => Ok(proof),
                })),
                None => Ok(None),
            }
        });
        let unknown = || Status::not_found(format!("this node holds no record {id}"));
        let proof = proof.await?.ok_or_else(unknown)?;
        proof.map(Response::new).map_err(|originator| {
            Status::failed_precondition(format!(
                "record {id} is marked no_attribution, and its proof names its originator \
                 {originator}: ask {originator} for the proof"
            ))
        })
    }

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::ListEntriesRequest { feed, start, limit } = request.into_inner();
        let log = self.choose(&feed, &visibility)?;
        let limit = match u64::from(limit) {
            0 => ENTRIES_DEFAULT,
            limit @ 1..=ENTRIES_MAX => limit,
            found => {
                return Err(refusal::invalid("limit", format!("{found} is above {ENTRIES_MAX}")));
            }
        };
        let size = log.size;
        if start > size {
            return Err(Status::out_of_range(format!(
                "start: {start} is beyond the log's size {size}"
            )));
        }
        let end = size.min(start + limit);
        let entries = self.0.read(move |view| entries_in(&log, view, start..end)).await?;
        Ok(Response::new(pb::ListEntriesResponse { entries, size }))
    }

    type ExportHistoryStream = Answers<pb::ExportHistoryResponse>;

    async fn export_history(
        &self,
        _: Request<pb::ExportHistoryRequest>,
    ) -> Result<Response<Self::ExportHistoryStream>, Status> {
        Ok(Response::new(Box::pin(history::parts(self.0.clone()))))
    }
}

/// The entries of a range, as many as fit one message.
fn entries_in(
    log: &Chosen,
    view: &View,
    range: std::ops::Range<u64>,
) -> Result<Vec<Bytes>, JournalError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for index in range {
        let entry = log.entry(view, index)?;
        bytes += entry.len();
        if bytes > ANSWER_BYTES_MAX {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn wire(path: &[TreeHash]) -> Vec<Bytes> {
    path.iter().map(|hash| Bytes::copy_from_slice(hash.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ClientRole;
    use prost::Message as _;

    fn chosen(feed: Option<u16>) -> Chosen {
        Chosen { feed: feed.map(FeedNumber::new), size: 10, note: Bytes::new() }
    }

    fn entry(client: &str) -> Bytes {
        let accepted =
            pb::RecordAccepted { client: client.into(), ..pb::RecordAccepted::default() };
        let event = Some(Event::RecordAccepted(accepted));
        pb::JournalEntry { at_ms: 1, event }.encode_to_vec().into()
    }

    #[test]
    fn a_vendor_tool_sees_the_entries_of_its_own_submissions_only() {
        let tool = Visibility::new(ClientRole::VendorTool, "tool");
        assert!(chosen(None).is_seen(&tool, &entry("tool")));
        assert!(!chosen(None).is_seen(&tool, &entry("tanaka")));
        assert!(!chosen(Some(1)).is_seen(&tool, &entry("tool")));
        assert!(!chosen(None).is_seen(&tool, &Bytes::from_static(b"\xff")));
    }

    #[test]
    fn a_proof_is_no_way_to_entries_that_are_not_about_records() {
        let act = pb::ActProposed::default();
        let other = pb::JournalEntry { at_ms: 1, event: Some(Event::ActProposed(act)) };
        let other = Bytes::from(other.encode_to_vec());
        let analyst = Visibility::new(ClientRole::Analyst, "tanaka");
        assert!(!chosen(None).is_seen(&analyst, &other));
        assert!(chosen(None).is_seen(&analyst, &entry("")));
        assert!(chosen(None).is_seen(&Visibility::new(ClientRole::Auditor, "x"), &other));
    }

    #[test]
    fn a_size_beyond_the_newest_checkpoint_is_refused() {
        assert_eq!(chosen(None).size_asked("tree_size", 0).unwrap(), 10);
        assert_eq!(chosen(None).size_asked("tree_size", 10).unwrap(), 10);
        let refused = chosen(None).size_asked("tree_size", 11).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::OutOfRange);
        assert!(refused.message().contains("11 is beyond the log's size 10"), "{refused}");
    }
}
