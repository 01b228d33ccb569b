//! The plan of a submission: each draft's place in its series, sealed and signed.
//!
//! It is made on the thread of who waits, from the journal as it was then; the writer takes it only
//! if nothing that it rests on has changed since. It writes nothing.

use super::live_series::LiveSeries;
use super::record_signer::RecordSigner;
use super::reinstatement::{self, NotReinstated};
use super::submit::{BatchDedup, Submission};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::journal::index::SeriesHead;
use crate::journal::prepared::{HeadAt, Prepared};
use crate::journal::revisions::Revision;
use crate::journal::transaction::{Origin, Transaction};
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use crate::policy::Visibility;
use crate::record::draft::{Draft, DraftError, Place, REINSTATEMENTS_MAX, Sealed, SeriesSecret};
use crate::record::marking::Tlp;
use crate::record::slots::SlotMask;
use std::collections::HashMap;
use std::sync::Arc;

const NOT_PERMITTED: &str = "it is not permitted to this client; ask a policy officer";

/// The caller, the time and the journal for which a plan is made.
pub(super) struct Grounds<'a> {
    pub(in crate::node) own: &'a AgencyName,
    pub(in crate::node) secret: &'a SeriesSecret,
    pub(in crate::node) signer: &'a RecordSigner,
    /// The records that the submitting client may see and replace.
    pub(in crate::node) visibility: &'a Visibility,
    pub(in crate::node) dedup: Option<&'a BatchDedup>,
    pub(in crate::node) now: Timestamp,
    /// Size of the journal before any series was looked up.
    pub(in crate::node) size: u64,
}

/// Records ready to be accepted, and the answers if they are.
pub(super) struct Plan {
    results: Vec<pb::DraftResult>,
    /// The content of each draft that is taken, under the first series of its thing.
    words: Vec<(SeriesId, [u8; 32])>,
    /// Every series that an answer rests on.
    rests_on: Vec<SeriesId>,
    records: Vec<Prepared>,
    size: u64,
}

/// A record on its way to the signature.
struct Drawn {
    sealed: Sealed,
    fingerprint: [u8; 32],
    before: Option<SeriesHead>,
}

impl Plan {
    pub(in crate::node) fn make(
        (drafts, random): (&[Result<Draft, DraftError>], &mut Randomness),
        grounds: &Grounds<'_>,
        mut head_of: impl FnMut(SeriesId) -> Result<Option<SeriesHead>, JournalError>,
        mut barred_of: impl FnMut(SeriesId) -> Result<SlotMask, JournalError>,
        mut held_of: impl FnMut(SeriesId, &SeriesHead) -> Result<Option<RecordId>, JournalError>,
        mut revisions_of: impl FnMut(SeriesId) -> Result<Option<Vec<Revision>>, JournalError>,
        mut revision_of: impl FnMut(&RecordId) -> Result<Option<Revision>, JournalError>,
    ) -> Result<Self, JournalError> {
        let mut results = Vec::with_capacity(drafts.len());
        let mut words = Vec::with_capacity(drafts.len());
        let mut rests_on = Vec::with_capacity(drafts.len());
        let mut drawn: Vec<Drawn> = Vec::with_capacity(drafts.len());
        // The series that earlier drafts of this very request went on with and what they made of it, by the
        // first series of the thing.
        let mut heads: HashMap<SeriesId, (SeriesId, SeriesHead)> = HashMap::new();
        for draft in drafts {
            let draft = match draft {
                Ok(draft) => draft,
                Err(error) => {
                    results.push(refusal(error));
                    continue;
                }
            };
            let first = draft.series(grounds.secret);
            let fingerprint = draft.fingerprint(grounds.secret);
            let here = heads.get(&first).copied();
            let contradicts = grounds.dedup.is_some_and(|dedup| {
                dedup.contradicts(first, fingerprint)
                    || here.is_some_and(|(_, head)| head.fingerprint != Some(fingerprint))
            });
            if contradicts {
                results.push(contradiction());
                continue;
            }
            // A later draft of the same is held to the same limits as the first.
            let live = LiveSeries::find(
                (draft, fingerprint),
                grounds.secret,
                &mut rests_on,
                |series| match here {
                    Some((of, head)) if of == series => Ok(Some(head)),
                    _ => head_of(series),
                },
                &mut barred_of,
                &mut held_of,
            )?;
            let (series, before) = match live {
                LiveSeries::Open(series, before) => (series, before),
                LiveSeries::Withdrawn => {
                    results.push(withdrawn());
                    continue;
                }
                LiveSeries::Exhausted => {
                    results.push(exhausted());
                    continue;
                }
                LiveSeries::Erased => {
                    results.push(erased());
                    continue;
                }
                LiveSeries::Held(id) => {
                    let known = unless_damaged(revision_of(&id))?.flatten();
                    let is_permitted =
                        known.is_none_or(|known| grounds.visibility.may_replace(&known.status()));
                    results.push(if is_permitted { held(id) } else { not_permitted() });
                    continue;
                }
            };
            if let Some(head) = before {
                // What says the same is marked the same.
                let says_other = head.fingerprint != Some(fingerprint);
                let may_be_red = says_other || draft.marking().tlp == Tlp::Red;
                let known = if may_be_red { revision_of(&head.id) } else { Ok(None) };
                let Some(known) = unless_damaged(known)? else {
                    results.push(damaged(head.id));
                    continue;
                };
                if known.is_some_and(|known| !grounds.visibility.may_replace(&known.status())) {
                    results.push(not_permitted());
                    continue;
                }
            }
            if before.is_none() && series != first {
                let (secret, now) = (grounds.secret, grounds.now);
                let refused = reinstatement::check(draft, series, secret, now, &mut revisions_of)?;
                if let Some(reason) = refused {
                    results.push(not_reinstated(reason));
                    continue;
                }
            }
            if let Some(head) = before.filter(|head| head.fingerprint == Some(fingerprint)) {
                words.push((first, fingerprint));
                heads.insert(first, (series, head));
                let SeriesHead { id, revision, .. } = head;
                results.push(answer(pb::DraftOutcome::Unchanged, id, series, revision));
                continue;
            }
            if let Err(error) = draft.check_marking_times(grounds.now) {
                results.push(refusal(&error));
                continue;
            }
            words.push((first, fingerprint));
            let (outcome, place) = match before {
                Some(head) => {
                    (pb::DraftOutcome::Revised, Place::after(series, head.revision, head.id))
                }
                None => (pb::DraftOutcome::Created, Place::first(series)),
            };
            let own = grounds.own.clone();
            let sealed = draft.clone().seal(own, place, grounds.now, || random.next());
            let (id, dedup) = (sealed.id(), Some(fingerprint));
            let head = SeriesHead::after(before, sealed.header(), id, dedup);
            heads.insert(first, (series, head));
            results.push(answer(outcome, id, series, place.revision));
            drawn.push(Drawn { sealed, fingerprint, before });
        }
        let records = sign(drawn, grounds, random)?;
        Ok(Self { results, words, rests_on, records, size: grounds.size })
    }

    /// Accepts the records if the plan still holds, all of them or none. `None`: make another.
    pub(in crate::node) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        task: &Submission,
    ) -> Result<Option<Vec<pb::DraftResult>>, JournalError> {
        let stands = self.rests_on.iter().all(|series| tx.stands(*series, self.size));
        if !stands || task.dedup.as_ref().is_some_and(|dedup| !dedup.add(&self.words)) {
            return Ok(None);
        }
        for record in self.records {
            tx.accept(record, Origin::Client(&task.client))?;
        }
        Ok(Some(self.results))
    }
}

fn sign(
    drawn: Vec<Drawn>,
    grounds: &Grounds<'_>,
    random: &mut Randomness,
) -> Result<Vec<Prepared>, JournalError> {
    let (sealed, rest): (Vec<Sealed>, Vec<_>) = drawn
        .into_iter()
        .map(|Drawn { sealed, fingerprint, before }| (sealed, (fingerprint, before)))
        .unzip();
    let signed = grounds.signer.sign(sealed, grounds.size, random)?;
    let prepare = |(record, (fingerprint, head))| {
        let before = HeadAt { head, size: grounds.size };
        Prepared::new(Arc::new(record)).with_fingerprint(fingerprint).after(before)
    };
    Ok(signed.into_iter().zip(rest).map(prepare).collect())
}

fn answer(
    outcome: pb::DraftOutcome,
    id: RecordId,
    series: SeriesId,
    revision: u32,
) -> pb::DraftResult {
    pb::DraftResult {
        outcome: outcome.into(),
        record_id: bytes::Bytes::copy_from_slice(id.as_bytes()),
        series: bytes::Bytes::copy_from_slice(series.as_bytes()),
        revision,
        field: String::new(),
        reason: String::new(),
    }
}

/// Refuses a draft as a whole.
fn refused(reason: impl Into<String>) -> pb::DraftResult {
    pb::DraftResult {
        outcome: pb::DraftOutcome::Refused.into(),
        reason: reason.into(),
        ..pb::DraftResult::default()
    }
}

fn refusal(error: &DraftError) -> pb::DraftResult {
    pb::DraftResult {
        outcome: pb::DraftOutcome::Refused.into(),
        field: error.field.clone(),
        reason: error.reason.clone(),
        ..pb::DraftResult::default()
    }
}

fn withdrawn() -> pb::DraftResult {
    refused(
        "it was withdrawn, and a withdrawal ends its series; to record it again on purpose, \
                 submit it with --reinstate",
    )
}

fn not_reinstated(reason: NotReinstated) -> pb::DraftResult {
    refused(reason.to_string())
}

fn exhausted() -> pb::DraftResult {
    refused(format!(
        "it was withdrawn again after each of {REINSTATEMENTS_MAX} reinstatements, and there are no \
             more; record it under another source or key"
    ))
}

fn erased() -> pb::DraftResult {
    refused(
        "it was erased, with all revisions, and may not be brought back; \
                 `liaison record erasures` says why",
    )
}

fn held(id: RecordId) -> pb::DraftResult {
    refused(format!(
        "it is under a hold, which a new revision would end unseen; have a policy officer end the \
             hold with `liaison record unrestrict {id} --reason TEXT`, then submit it again"
    ))
}

fn damaged(id: RecordId) -> pb::DraftResult {
    refused(format!(
        "the entry of the newest record of it, {id}, is damaged, so nothing can revise it; bring back the \
             newest copy of the node's directory"
    ))
}

/// Returns the answer for a value of which another client's TLP:RED record is here: it reveals no more
/// than it must.
fn not_permitted() -> pb::DraftResult {
    refused(NOT_PERMITTED)
}

/// Returns how many drafts were refused because their client may not replace a record.
pub(super) fn count_not_permitted(results: &[pb::DraftResult]) -> usize {
    results.iter().filter(|result| result.reason == NOT_PERMITTED).count()
}

fn contradiction() -> pb::DraftResult {
    pb::DraftResult {
        outcome: pb::DraftOutcome::Refused.into(),
        field: "value".to_owned(),
        reason: "an earlier row of this submission has the same key and another content; \
                 keep one of them"
            .to_owned(),
        ..pb::DraftResult::default()
    }
}

/// Random bytes from the machine's generator, drawn many at a time: for salts, and for what hides
/// the records of a batch among its leaves.
#[derive(Default)]
pub(in crate::node) struct Randomness {
    drawn: Vec<u8>,
}

impl Randomness {
    const DRAWN_BYTES: usize = 4_096;

    /// These bytes first, for a run that gives the same each time.
    #[cfg(test)]
    pub(in crate::node) const fn of(drawn: Vec<u8>) -> Self {
        Self { drawn }
    }

    pub(in crate::node) fn next<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        if self.drawn.len() < BYTES {
            self.drawn.resize(Self::DRAWN_BYTES, 0);
            // Without randomness nothing can be signed; the process must not go on.
            getrandom::fill(&mut self.drawn).expect("the machine gives random numbers");
        }
        let (rest, taken) = self.drawn.split_at(self.drawn.len() - BYTES);
        let taken = taken.try_into().expect("so many bytes were split off");
        self.drawn.truncate(rest.len());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::index::Marks;
    use crate::policy::ClientRole;
    use crate::record::kind::Kind;
    use crate::record::slots::SlotNumber;
    use crate::testkit::{self, Agency, now, secret};

    fn draft(notes: &str) -> Draft {
        let indicator = pb::Indicator {
            value: "evil.example".to_owned(),
            notes: notes.to_owned(),
            ..pb::Indicator::default()
        };
        Draft::try_from(testkit::draft(pb::draft::Content::Indicator(indicator))).unwrap()
    }

    fn head(fingerprint: [u8; 32], barred: bool) -> SeriesHead {
        SeriesHead {
            revision: 1,
            id: RecordId::from_bytes([1; 32]),
            kind: Kind::Indicator,
            conflicting: false,
            barred,
            fingerprint: Some(fingerprint),
        }
    }

    fn plan(drafts: &[&str], head: SeriesHead, barred: SlotMask) -> Plan {
        let drafts: Vec<_> = drafts.iter().map(|notes| draft(notes)).collect();
        plan_after(drafts, head, barred, None)
    }

    /// The plan for drafts of one thing that has this newest record, submitted as given, and these slots
    /// erased for good.
    fn plan_after(
        drafts: Vec<Draft>,
        head: SeriesHead,
        barred: SlotMask,
        submitted: Option<Revision>,
    ) -> Plan {
        let (own, secret) = (Agency::own(), secret());
        let signer = RecordSigner::of(own.record_key.clone(), own.key_id());
        let grounds = Grounds {
            own: &own.name,
            secret: &secret,
            signer: &signer,
            visibility: &Visibility::new(ClientRole::VendorTool, "tool"),
            dedup: None,
            now: now(),
            size: 5,
        };
        let first = draft("").series(&secret);
        let drafts: Vec<_> = drafts.into_iter().map(Ok).collect();
        let head_of = |series| Ok((series == first).then_some(head));
        let barred_of = |series| Ok(if series == first { barred } else { SlotMask::NONE });
        let revisions_of = |_| Ok(Some(Vec::new()));
        let revision_of = |id: &RecordId| Ok(submitted.clone().filter(|known| known.id == *id));
        let held_of = |_, _: &SeriesHead| Ok(None);
        let drafts = (&drafts[..], &mut Randomness::default());
        Plan::make(drafts, &grounds, head_of, barred_of, held_of, revisions_of, revision_of)
            .unwrap()
    }

    fn outcomes(plan: &Plan) -> Vec<pb::DraftOutcome> {
        plan.results.iter().map(pb::DraftResult::outcome).collect()
    }

    #[test]
    fn what_was_erased_does_not_come_back_in_a_later_draft_of_one_request() {
        use pb::DraftOutcome::{Refused, Revised, Unchanged};
        let is_notes = |number: &SlotNumber| number.spec(Kind::Indicator).name == "notes";
        let notes = SlotNumber::of(Kind::Indicator).find(is_notes).unwrap();
        let barred = SlotMask::NONE.with(notes);
        let erased = head([0; 32], true);
        assert_eq!(outcomes(&plan(&["", "erased"], erased, barred)), [Revised, Refused]);
        let same = head(draft("").fingerprint(&secret()), true);
        let plan = plan(&["", "erased", ""], same, barred);
        assert_eq!(outcomes(&plan), [Unchanged, Refused, Unchanged]);
        assert!(plan.results[1].reason.contains("erased"), "{}", plan.results[1].reason);
        assert!(plan.records.is_empty());
    }

    #[test]
    fn a_red_record_of_another_client_is_not_revised_and_the_refusal_names_none() {
        use pb::DraftOutcome::{Refused, Revised, Unchanged};
        let mut red = draft("one");
        red.set_tlp(Tlp::Red);
        let head = head(red.fingerprint(&secret()), false);
        let after = |client: &str| {
            let (id, marking) = (head.id, red.marking().clone());
            let known =
                Revision { id, marking, marks: Marks::default(), client: client.to_owned() };
            let drafts = vec![red.clone(), draft("one"), draft("two")];
            plan_after(drafts, head, SlotMask::NONE, Some(known))
        };
        let refused = after("tanaka");
        assert_eq!(outcomes(&refused), [Refused; 3]);
        assert_eq!(count_not_permitted(&refused.results), 3);
        for result in &refused.results {
            assert!(result.record_id.is_empty() && result.series.is_empty(), "{result:?}");
            assert_eq!((result.revision, result.reason.as_str()), (0, NOT_PERMITTED));
        }
        assert_eq!(outcomes(&after("tool")), [Unchanged, Revised, Revised]);
    }

    #[test]
    fn a_later_draft_of_one_request_revises_what_the_first_found_or_made() {
        use pb::DraftOutcome::{Revised, Unchanged};
        let known = head(draft("one").fingerprint(&secret()), false);
        let plan = plan(&["one", "two", "two", "three"], known, SlotMask::NONE);
        assert_eq!(outcomes(&plan), [Unchanged, Revised, Unchanged, Revised]);
        let revisions: Vec<u32> = plan.results.iter().map(|result| result.revision).collect();
        assert_eq!(revisions, [1, 2, 2, 3]);
        let previous: Vec<_> =
            plan.records.iter().map(|record| record.record().header().previous).collect();
        assert_eq!(previous, [Some(known.id), Some(plan.records[0].record().id())]);
        // The writer takes the head as it is given while nothing touched the series.
        let given = plan.records[0].before_head();
        assert_eq!(given, Some(known));
    }
}
