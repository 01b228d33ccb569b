//! Witnesses of this journal, and this agency as the witness of other logs.
//!
//! A witness's cosignature covers everything before the checkpoint that it cosigned, so the newest
//! of each counts. One that came too late to be compared with the history counts for nothing. Whose
//! keys they are that the journal names is for the auditor to judge.

use super::card::Card;
use super::cosigned::Cosigned;
use super::failure::{Check, Fault};
use super::lines::head_by;
use super::partners::Partners;
use super::remarks::Remark;
use super::report::{NotCounted, Quorum, WitnessCount};
use super::words::shown;
use crate::ident::{AgencyName, Timestamp, TreeHash};
use crate::merkle::{
    Checkpoint, Note, NoteVerifier, SignatureType, TREE_SIZE_MAX, TreeHead, verify_note,
};
use crate::pb;
use ed25519_dalek::VerifyingKey;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Witnesses that are not partners, with keys that were replaced; an operator adds them by hand.
const ADDED_MAX: usize = 1_000;
/// Logs beside partners' journals that an agency cosigns, with those it no longer does.
const GIVEN_MAX: usize = 16_384;
/// Entries that are younger than this, before the last entry, need no cosignature for a quorum: a
/// witness is asked every minute, and may be away for a while.
const LAG_MS_MAX: i64 = 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60 * 1_000;

/// The last checkpoint of a minute.
#[derive(Debug, Clone, Copy)]
struct Commit {
    /// Size after the last entry in it that is not about cosignatures.
    substance: u64,
    at: Timestamp,
}

/// The checkpoints that one witness cosigned.
#[derive(Debug)]
struct Received {
    /// The newest checkpoint that was compared with the history, and when its cosignature came in.
    compared: Option<(u64, Timestamp)>,
    /// The newest one that came too late for that.
    late: Option<(u64, Timestamp)>,
    /// Every key that cosigned under this name.
    keys: Vec<VerifyingKey>,
}

#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// One a minute: those of the last hour and the newest before.
    commits: VecDeque<Commit>,
    substance: u64,
    received: BTreeMap<String, Received>,
    added: Vec<NoteVerifier>,
    /// The last head that this agency cosigned, by origin.
    given: BTreeMap<String, TreeHead>,
    contradicted: Vec<String>,
}

impl Witnesses {
    /// An entry that is not about cosignatures.
    pub(super) fn substance(&mut self, index: u64) {
        self.substance = index + 1;
    }

    /// A checkpoint, with the time of the last entry in it.
    pub(super) fn commit(&mut self, at: Timestamp) {
        let minute = |at: Timestamp| at.unix_ms() / MINUTE_MS;
        let commit = Commit { substance: self.substance, at };
        match self.commits.back_mut() {
            Some(last) if minute(last.at) == minute(at) => *last = commit,
            _ => self.commits.push_back(commit),
        }
        while self.commits.get(1).is_some_and(|second| is_old(second, at)) {
            self.commits.pop_front();
        }
    }

    /// Keys of witnesses that are not partners.
    pub(super) fn added(&self) -> &[NoteVerifier] {
        &self.added
    }

    pub(super) fn add(&mut self, added: &pb::WitnessAdded) -> Result<(), Fault> {
        let fault = |expected: &str, found: &dyn ToString| {
            Fault::new(Check::Cosignature, expected, found.to_string())
        };
        let key: NoteVerifier =
            added.vkey.parse().map_err(|error| fault("the key of a witness", &error))?;
        if key.signature_type() != SignatureType::Cosignature {
            return Err(fault("the key of a witness, type 0x04", &added.vkey));
        }
        // The same key again says where it is asked from now on.
        if self.added.contains(&key) {
            return Ok(());
        }
        if self.added.len() == ADDED_MAX {
            return Err(fault(&format!("at most {ADDED_MAX} witnesses"), &"more"));
        }
        self.added.push(key);
        Ok(())
    }

    /// Returns the head that this agency cosigned last of another log.
    pub(super) fn known(&self, origin: &str) -> TreeHead {
        self.given.get(origin).copied().unwrap_or(TreeHead::EMPTY)
    }

    /// A witness cosigned a head that this journal had.
    pub(super) fn received(&mut self, witness: &str, cosigned: &Cosigned, at: Timestamp) {
        let known = self.received_from(witness, cosigned);
        known.compared = newer(known.compared, (cosigned.head.size.get(), at));
    }

    /// A witness cosigned a head that is too old to be compared with this journal.
    pub(super) fn received_late(&mut self, witness: &str, cosigned: &Cosigned, at: Timestamp) {
        let known = self.received_from(witness, cosigned);
        known.late = newer(known.late, (cosigned.head.size.get(), at));
    }

    fn received_from(&mut self, witness: &str, cosigned: &Cosigned) -> &mut Received {
        let none = || Received { compared: None, late: None, keys: Vec::new() };
        let known = self.received.entry(witness.to_owned()).or_insert_with(none);
        if !known.keys.contains(&cosigned.key) {
            known.keys.push(cosigned.key);
        }
        known
    }

    /// The witnesses by name, with what they cosigned and why one does not count. One key under several
    /// names is one witness: of those the name with the newest checkpoint counts.
    fn standing(&self, own: &[Card]) -> Vec<(&str, (u64, Timestamp), Option<NotCounted>)> {
        let own: Vec<VerifyingKey> = own.iter().flat_map(Card::keys).collect();
        let mut newest_first: Vec<_> = self.received.iter().collect();
        newest_first.sort_by_key(|(_, received)| Reverse((received.compared, received.late)));
        let mut seen: Vec<(&VerifyingKey, &str)> = Vec::new();
        let mut standing = Vec::with_capacity(newest_first.len());
        for (name, Received { compared, late, keys }) in newest_first {
            let Some(newest) = compared.or(*late) else { continue };
            let other = seen.iter().find(|(key, _)| keys.contains(key));
            let not_counted = match other {
                _ if keys.iter().any(|key| own.contains(key)) => Some(NotCounted::OwnKey),
                Some((_, other)) => Some(NotCounted::KeyOf((*other).to_owned())),
                None if compared.is_none() => Some(NotCounted::Late),
                None => None,
            };
            // A name that does not count ties its further keys to the one that does.
            let counted = other.map_or(name.as_str(), |(_, counted)| counted);
            seen.extend(keys.iter().map(|key| (key, counted)));
            standing.push((name.as_str(), newest, not_counted));
        }
        standing
    }

    /// This agency cosigned a checkpoint of another log: the log's line where its key is known, its
    /// own line, and nothing before what it cosigned last.
    pub(super) fn give(
        &mut self,
        given: &pb::CosignatureGiven,
        own: &[Card],
        partners: &Partners,
    ) -> Result<(), Fault> {
        let fault = |expected: &str, found: &dyn ToString| {
            Fault::new(Check::CosignatureGiven, expected, found.to_string())
        };
        let note = Note::parse(&given.note).map_err(|error| fault("a signed note", &error))?;
        let checkpoint =
            Checkpoint::parse(note.text()).map_err(|error| fault("a checkpoint", &error))?;
        if checkpoint.origin().as_str() != given.origin {
            return Err(fault(&given.origin, checkpoint.origin()));
        }
        let keys: Vec<NoteVerifier> = own.iter().rev().filter_map(witness_key).collect();
        verify_note(&note, &keys).map_err(|error| fault("the agency's cosignature", &error))?;
        if !given.partner.is_empty() {
            let card = card_of(partners, &given.partner)
                .ok_or_else(|| fault("the journal of a partner", &given.partner))?;
            head_by(card, &given.origin, &given.note, Check::CosignatureGiven)?;
        }
        if self.given.len() == GIVEN_MAX && !self.given.contains_key(&given.origin) {
            return Err(fault(&format!("at most {GIVEN_MAX} logs"), &"more"));
        }
        let head = checkpoint.head();
        let last = self.given.entry(given.origin.clone()).or_insert(head);
        if head.size < last.size || (head.size == last.size && head.root != last.root) {
            return Err(fault(&format!("what continues {}", shown(*last)), &shown(head)));
        }
        *last = head;
        Ok(())
    }

    /// Evidence against another log: signed by it, and not what it is held against.
    pub(super) fn contradict(
        &mut self,
        found: &pb::ContradictionFound,
        partners: &Partners,
    ) -> Result<(), Fault> {
        // The key of a log that is not a partner's stands in no entry.
        if let Some(card) = card_of(partners, &found.partner) {
            let head = head_by(card, &found.origin, &found.shown_note, Check::Contradiction)?;
            let held = Note::parse(&found.held_note)
                .ok()
                .and_then(|note| Checkpoint::parse(note.text()).ok())
                .map(|checkpoint| checkpoint.head());
            let computed = TreeHash::try_from(&found.computed_root[..]).ok();
            if held == Some(head) || computed == Some(head.root) {
                let expected = "another head than the one that was held";
                return Err(Fault::new(Check::Contradiction, expected, shown(head)));
            }
        }
        self.contradicted.push(found.origin.clone());
        Ok(())
    }

    pub(super) fn remark(&self, remarks: &mut Vec<Remark>) {
        let found = self.contradicted.iter();
        remarks.extend(found.map(|origin| Remark::Contradiction { origin: origin.clone() }));
    }

    /// By name.
    pub(super) fn counts(&self, own: &[Card]) -> Vec<WitnessCount> {
        let standing = self.standing(own).into_iter();
        let count = |(name, (size, at), not_counted): (&str, _, _)| WitnessCount {
            name: name.to_owned(),
            size,
            at,
            not_counted,
        };
        let mut counts: Vec<_> = standing.map(count).collect();
        counts.sort_by(|a, b| a.name.cmp(&b.name));
        counts
    }

    /// Returns the size that the required number of witnesses with keys of their own cover together,
    /// and the size that they must cover. `end` is the time of the last entry, `own` are all cards of
    /// the agency.
    pub(super) fn quorum(&self, wanted: usize, end: Timestamp, own: &[Card]) -> Quorum {
        let standing = self.standing(own).into_iter();
        let sizes: Vec<u64> = standing
            .filter(|(.., not_counted)| not_counted.is_none())
            .map(|(_, (size, _), _)| size)
            .collect();
        let reached = match wanted {
            0 => TREE_SIZE_MAX.get(),
            wanted => sizes.get(wanted - 1).copied().unwrap_or_default(),
        };
        let old = self.commits.iter().rev().find(|commit| is_old(commit, end));
        Quorum { wanted, reached, must: old.map_or(1, |commit| commit.substance.max(1)) }
    }
}

impl Witnesses {
    /// Checks that as many witnesses as wanted cosigned what they must; the fault names their
    /// number.
    pub(super) fn check_quorum(
        &self,
        wanted: usize,
        end: Timestamp,
        own: &[Card],
    ) -> Result<(), Fault> {
        let Quorum { must, reached, .. } = match self.quorum(wanted, end, own) {
            quorum if quorum.is_reached() => return Ok(()),
            quorum => quorum,
        };
        let is_reached = |count: &usize| self.quorum(*count, end, own).is_reached();
        let most = (1..wanted).take_while(is_reached).last().unwrap_or_default();
        let expected = format!("{must} entries cosigned by {wanted} witnesses");
        let found = format!("at most {most} cosigned them; {wanted} cosigned {reached} entries");
        Err(Fault::new(Check::Quorum, expected, found))
    }
}

/// The newer of two checkpoints; of one size the first.
fn newer(known: Option<(u64, Timestamp)>, found: (u64, Timestamp)) -> Option<(u64, Timestamp)> {
    known.filter(|known| known.0 >= found.0).or(Some(found))
}

fn is_old(commit: &Commit, now: Timestamp) -> bool {
    now.unix_ms() - commit.at.unix_ms() > LAG_MS_MAX
}

fn card_of<'a>(partners: &'a Partners, name: &str) -> Option<&'a Card> {
    partners.card(&name.parse::<AgencyName>().ok()?)
}

fn witness_key(card: &Card) -> Option<NoteVerifier> {
    let name = format!("{}/witness", card.agency).parse().ok()?;
    NoteVerifier::new(name, SignatureType::Cosignature, card.witness.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TreeSize;
    use crate::merkle::leaf_hash;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + minute * MINUTE_MS).unwrap()
    }

    fn cosigned(size: u64, key: u8) -> Cosigned {
        let head = TreeHead { size: TreeSize::new(size), root: leaf_hash(b"root") };
        let key = ed25519_dalek::SigningKey::from_bytes(&[key; 32]).verifying_key();
        Cosigned { head, key, at: minute(0).into() }
    }

    /// Ten entries a minute.
    fn journal(minutes: i64) -> Witnesses {
        let mut witnesses = Witnesses::default();
        for now in 0..minutes {
            witnesses.substance(10 * now as u64 + 9);
            witnesses.commit(minute(now));
        }
        witnesses
    }

    #[test]
    fn a_quorum_must_cover_what_is_older_than_an_hour() {
        for (minutes, must) in [(1, 1), (61, 1), (62, 10), (63, 20), (1_000, 9_390)] {
            let witnesses = journal(minutes);
            assert_eq!(
                witnesses.quorum(1, minute(minutes - 1), &[]).must,
                must,
                "{minutes} minutes"
            );
            assert!(witnesses.commits.len() <= 62);
        }
    }

    #[test]
    fn a_quorum_reaches_as_far_as_its_slowest_witness() {
        let mut witnesses = journal(63);
        for (name, size) in [("a", 30), ("b", 20), ("b", 10), ("c", 19)] {
            witnesses.received(name, &cosigned(size, name.as_bytes()[0]), minute(62));
        }
        let reached = |wanted| witnesses.quorum(wanted, minute(62), &[]).reached;
        assert_eq!([1, 2, 3, 4].map(reached), [30, 20, 19, 0]);
        let is_reached = |wanted| witnesses.quorum(wanted, minute(62), &[]).is_reached();
        assert_eq!([0, 1, 2, 3].map(is_reached), [true, true, true, false]);
    }

    #[test]
    fn a_cosignature_that_was_not_compared_with_the_history_counts_for_no_quorum() {
        let mut witnesses = journal(63);
        witnesses.received_late("a", &cosigned(40, 1), minute(62));
        witnesses.received("b", &cosigned(30, 2), minute(62));
        witnesses.received_late("b", &cosigned(50, 2), minute(62));
        witnesses.received_late("c", &cosigned(60, 2), minute(62));
        let reached = |wanted| witnesses.quorum(wanted, minute(62), &[]).reached;
        assert_eq!([1, 2].map(reached), [30, 0]);
        let counts = witnesses.counts(&[]).into_iter().map(|count| (count.size, count.not_counted));
        let of_b = Some(NotCounted::KeyOf("b".to_owned()));
        assert!(counts.eq([(40, Some(NotCounted::Late)), (30, None), (60, of_b)]));
    }

    #[test]
    fn a_quorum_counts_keys_and_one_key_under_three_names_once() {
        let mut witnesses = journal(63);
        for (name, size, key) in [("a", 30, 1), ("b", 40, 1), ("c", 20, 1), ("d", 25, 2)] {
            witnesses.received(name, &cosigned(size, key), minute(62));
        }
        let reached = |wanted| witnesses.quorum(wanted, minute(62), &[]).reached;
        assert_eq!([1, 2, 3].map(reached), [40, 25, 0]);
        let counts = witnesses.counts(&[]);
        let other = Some(NotCounted::KeyOf("b".to_owned()));
        let wanted = [other.clone(), None, other, None];
        assert!(counts.into_iter().map(|count| count.not_counted).eq(wanted));
    }
}
