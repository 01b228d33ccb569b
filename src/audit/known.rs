//! The checkpoint that the auditor holds from before: one of this journal that its agency signed is compared
//! with the history, and any other one shows nothing. The agency signed it with a key on a card in the
//! journal, or on the card that the auditor holds: a rewritten history may lack that card.

use super::expectations::{Anchor, KnownCheckpoint};
use super::failure::{Check, Fault};
use super::ledger::Audit;
use super::words::shown;
use crate::ident::{AgencyName, Generation};
use crate::merkle::TreeHead;

impl Audit {
    /// Notes that the checkpoint which the auditor holds is not of this journal, if it is not.
    pub(super) fn check_origin(&mut self, agency: &AgencyName) {
        let Some(known) = &self.expectations.checkpoint else { return };
        let origin = known.origin();
        let is_of = match Generation::of_journal(origin) {
            Some((found, _)) if found == *agency => return,
            Some((found, _)) => format!("of the journal of {found}"),
            None => format!("of {origin}, which is not a journal"),
        };
        self.unusable = Some(format!("it is {is_of}; wanted one of the journal of {agency}"));
        self.expectations.checkpoint = None;
    }

    /// Holds the checkpoint that the auditor has against the history, if the agency signed it: what it
    /// did not sign contradicts nothing.
    pub(super) fn check_known(&mut self) -> Result<(), Fault> {
        let Some(known) = &self.expectations.checkpoint else { return Ok(()) };
        let signed = self.generations.check_known(known).or_else(|| {
            let journal = self.journal.as_ref()?;
            Some(journal.head(known.note(), Check::KnownCheckpoint).map(drop))
        });
        if let Some(Err(fault)) = signed
            && !self.is_signed_by_held_card(known)
        {
            let agency = self.agency.as_ref().map_or("the agency", AgencyName::as_str);
            let found = fault.found;
            self.unusable = Some(format!("the journal key of {agency} did not sign it: {found}"));
            return Ok(());
        }
        let Some(known) = self.comparable() else { return Ok(()) };
        let found = match self.at_known {
            Some(head) if head == known.head() => return Ok(()),
            Some(head) => shown(head),
            None if known.head() == TreeHead::EMPTY => return Ok(()),
            None => format!("a journal of size {}", self.checkpoint.size),
        };
        Err(Fault::new(Check::KnownCheckpoint, shown(known.head()), found))
    }

    /// Returns true if the journal key on the card that the auditor holds signed the checkpoint. That
    /// card is of the same identity as those in the journal, which was checked with each of them.
    fn is_signed_by_held_card(&self, known: &KnownCheckpoint) -> bool {
        match &self.expectations.anchor {
            Anchor::Card(card) => card.checkpoint(known.note()).is_ok(),
            Anchor::Directory | Anchor::Number(_) => false,
        }
    }
}
