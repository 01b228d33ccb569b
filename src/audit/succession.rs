//! A journal that goes on under the next generation, because entries of it were lost for good.
//!
//! What is left must be all that the last checkpoint of the generation before signs, and what is said
//! to be lost must have been signed by this agency. How much more was lost, nobody can see.

mod judge;

use super::card::Card;
use super::expectations::KnownCheckpoint;
use super::failure::{Check, Fault};
use super::lines::Log;
use super::remarks::Remark;
use crate::ident::Generation;

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
