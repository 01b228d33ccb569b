//! Successions of the logs, judged one after another.

use super::LOST_MAX;
use crate::audit::card::Card;
use crate::audit::consents::Sayings;
use crate::audit::cosigned::cosigned_head;
use crate::audit::expectations::KnownCheckpoint;
use crate::audit::failure::{Check, Fault};
use crate::audit::ledger::Audit;
use crate::audit::lines::{Log, head_by};
use crate::audit::remarks::Remark;
use crate::audit::words::shown;
use crate::ident::{AgencyName, Generation};
use crate::merkle::{
    Checkpoint, Note, NoteVerifier, Shortfall, SignatureType, TreeHead, verify_note,
};
use crate::pb;

impl Audit {
    /// The logs are succeeded; what follows must be the card with the keys of the next generation.
    pub(in crate::audit) fn succeed(&mut self, succeeded: &pb::LogSucceeded) -> Result<(), Fault> {
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
    pub(in crate::audit) fn comparable(&self) -> Option<&KnownCheckpoint> {
        self.expectations.checkpoint.as_ref().filter(|_| self.generations.known_lost.is_none())
    }
}
