//! A journal that goes on under the next generation, because entries of it were lost for good.
//!
//! What is left must be all that the last checkpoint of the generation before signs, and what is said
//! to be lost must have been signed by this agency. How much more was lost, nobody can see.

use super::card::Card;
use super::consents::Sayings;
use super::cosigned::cosigned_head;
use super::failure::{Check, Fault};
use super::feed::shown;
use super::ledger::{Audit, KnownCheckpoint};
use super::lines::{Log, head_by};
use super::report::Remark;
use crate::ident::{AgencyName, Generation};
use crate::merkle::{
    Checkpoint, Note, NoteVerifier, Shortfall, SignatureType, TreeHead, verify_note,
};
use crate::pb;

/// A log keeps at most so many notes of what was lost in one entry.
const LOST_MAX: usize = 48;

/// The generations of a journal.
#[derive(Debug, Default)]
pub(super) struct Generations {
    /// The journals of those before the one now, from the first on.
    ended: Vec<Log>,
    /// The generation that begins with the next entry, which must be its card.
    begins: Option<Generation>,
    remarks: Vec<Remark>,
    /// The checkpoint that the auditor holds is of entries that were lost.
    known_lost: Option<Remark>,
}

impl Generations {
    pub(super) fn remark(&self, remarks: &mut Vec<Remark>) {
        remarks.extend(self.remarks.iter().chain(&self.known_lost).cloned());
    }

    /// Refuses whatever stands between a succession and its card.
    pub(super) fn check_card_is_next(&self, is_card: bool) -> Result<(), Fault> {
        match self.begins {
            Some(generation) if !is_card => {
                let expected = format!("the card of generation {generation}");
                Err(Fault::new(Check::Succession, expected, "something else"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a card is of the generation of the logs, or the first of the one that begins.
    /// Whether it is such a first one.
    pub(super) fn check_card(&mut self, card: &Card, before: &[Card]) -> Result<bool, Fault> {
        let fault = |expected: String, found: &dyn ToString| {
            Fault::new(Check::Succession, expected, found.to_string())
        };
        let Some(generation) = self.begins.take() else {
            let now = before.last().map_or(Generation::FIRST, |card| card.generation);
            if card.generation == now {
                return Ok(false);
            }
            return Err(fault(format!("a card of generation {now}"), &card.generation));
        };
        if card.generation != generation {
            return Err(fault(format!("a card of generation {generation}"), &card.generation));
        }
        let keys = |card: &Card| [card.journal, card.witness, card.receipt];
        if before.iter().flat_map(keys).any(|key| keys(card).contains(&key)) {
            return Err(fault(
                format!("other log keys in generation {generation}"),
                &"one of before",
            ));
        }
        Ok(true)
    }

    /// A checkpoint that the auditor holds from before, held against the end of the history. `None`: it
    /// is of the generation now.
    pub(super) fn check_known(&self, known: &KnownCheckpoint) -> Option<Result<(), Fault>> {
        let generation = Generation::named_in(known.origin());
        let ended = self.ended.get(usize::from(generation.get() - Generation::FIRST.get()))?;
        Some(ended.head(known.note(), Check::KnownCheckpoint).map(drop))
    }
}

impl Audit {
    /// The logs are succeeded; what follows must be the card with the keys of the next generation.
    pub(super) fn succeed(&mut self, succeeded: &pb::LogSucceeded) -> Result<(), Fault> {
        let fault = |expected: String, found: &dyn ToString| {
            Fault::new(Check::Succession, expected, found.to_string())
        };
        let now = self.own.last().map_or(Generation::FIRST, |card| card.generation);
        let next = now.next().map_or(0, Generation::to_wire);
        if succeeded.generation != next || next == 0 {
            let found = succeeded.generation;
            return Err(fault(format!("the generation after {now}"), &found));
        }
        let Some(log) = self.journal.take() else {
            return Err(fault("a journal that has begun".to_owned(), &"none"));
        };
        let left = log.head(&succeeded.last_note, Check::Succession)?;
        let computed = self.head();
        if left != computed {
            return Err(fault(shown(computed), &shown(left)));
        }
        if succeeded.lost.len() > LOST_MAX {
            let found = succeeded.lost.len();
            return Err(fault(format!("at most {LOST_MAX} notes of what was lost"), &found));
        }
        let recorded = match Shortfall::of(succeeded.recorded_size, left.size.get()) {
            Some(shortfall) => Some(shortfall.recorded),
            None if succeeded.recorded_size == 0 && !succeeded.lost.is_empty() => None,
            None => {
                let expected = format!("a loss that shows: more than {} entries", left.size);
                return Err(fault(expected, &succeeded.recorded_size));
            }
        };
        let mut signed = None;
        for lost in &succeeded.lost {
            signed = signed.max(self.lost(lost, left)?);
        }
        let generation = now.next().unwrap_or(now);
        self.generations.begins = Some(generation);
        self.generations.remarks.push(Remark::Succeeded {
            generation,
            left: left.size.get(),
            signed,
            recorded,
            reason: succeeded.reason.clone(),
        });
        self.set_known_aside(now, left);
        self.untold.values_mut().for_each(Sayings::begin_anew);
        self.generations.ended.push(log);
        Ok(())
    }

    /// Checks a signature that the agency made and lost. Returns the size if it is on a checkpoint
    /// of the journal.
    fn lost(&self, lost: &pb::LostSigned, left: TreeHead) -> Result<Option<u64>, Fault> {
        let fault = |expected: String, found: &dyn ToString| {
            Fault::new(Check::Succession, expected, found.to_string())
        };
        let origin = Note::parse(&lost.note)
            .ok()
            .and_then(|note| Checkpoint::parse(note.text()).ok())
            .map(|checkpoint| checkpoint.origin().to_string())
            .ok_or_else(|| fault("the signed note of a checkpoint".to_owned(), &"other bytes"))?;
        let partner: Option<AgencyName> = lost.partner.parse().ok();
        let stranger = || fault("a partner in the journal".to_owned(), &lost.partner);
        let known = partner.and_then(|partner| self.partners.named_partner(&partner));
        let known = known.ok_or_else(stranger)?;
        let own = self.own.last().ok_or_else(stranger)?;
        let Card { agency, generation, .. } = own;
        let card = &known.card;
        let beyond = |size: u64, left: u64| match size > left {
            true => Ok(()),
            false => Err(fault(format!("a head of {origin} above {left}"), &size)),
        };
        if origin == generation.journal_origin(agency) {
            // The partner's line shows that it was shown: the agency alone could sign anything now.
            let name = format!("{}/witness", card.agency);
            let head = cosigned_head(&lost.note, &name, &self.own, Some(card), &[])
                .map_err(|found| Fault { check: Check::Succession, ..found })?
                .head;
            beyond(head.size.get(), left.size.get())?;
            return Ok(Some(head.size.get()));
        }
        let log = if origin == generation.feed_origin(agency, &card.agency) {
            Log::published(&self.own, card).map(|log| (log, known.feed.size()))
        } else if origin == card.generation.feed_origin(&card.agency, agency) {
            let held = known.received.map_or(0, |head| head.size.get());
            Log::received(card, own).map(|log| (log, held))
        } else {
            None
        };
        if let Some((log, left)) = log {
            let (head, _) = log.receipted_head(&lost.note, Check::Succession)?;
            beyond(head.size.get(), left)?;
            return Ok(None);
        }
        if origin != card.generation.journal_origin(&card.agency) {
            return Err(fault(format!("a log of this agency or of {}", card.agency), &origin));
        }
        let witness = format!("{agency}/witness").parse().ok().and_then(|name| {
            NoteVerifier::new(name, SignatureType::Cosignature, own.witness.as_bytes()).ok()
        });
        let note = Note::parse(&lost.note).map_err(|error| fault("a note".to_owned(), &error))?;
        verify_note(&note, witness.as_slice())
            .map_err(|error| fault("the agency's cosignature".to_owned(), &error))?;
        let head = head_by(card, &origin, &lost.note, Check::Succession)?;
        beyond(head.size.get(), self.witnesses.known(&origin).size.get())?;
        Ok(None)
    }

    /// A checkpoint that the auditor holds of this generation is compared no more if its entries are
    /// not there.
    fn set_known_aside(&mut self, generation: Generation, left: TreeHead) {
        let Some(known) = &self.expectations.checkpoint else { return };
        let size = known.head().size;
        if Generation::named_in(known.origin()) == generation && size > left.size {
            let (size, left) = (size.get(), left.size.get());
            self.generations.known_lost = Some(Remark::KnownCheckpointLost { size, left });
        }
    }

    /// The checkpoint that the auditor holds, unless its entries are known to be lost.
    pub(super) fn comparable(&self) -> Option<&KnownCheckpoint> {
        self.expectations.checkpoint.as_ref().filter(|_| self.generations.known_lost.is_none())
    }
}
