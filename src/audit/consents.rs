//! The check of consents. Each statement must be its originator's, be given by those who may, follow
//! from those before it, and be in the holder's feed. The consents in force are computed here, and
//! disclosures are decided anew on them.

mod judge;

use super::failure::{Check, Fault};
use crate::exchange::ConsentMessage;
use crate::ident::AgencyName;
use crate::pb;
use crate::record::consent::Consent;
use std::collections::BTreeMap;

/// The requests and statements that each partner's feed must contain.
pub(super) type PendingNotices = BTreeMap<AgencyName, Sayings>;

/// The requests and statements in their order, and the number of them that the present feed contains. A
/// feed that succeeds another contains all of them again.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    all: Vec<ConsentMessage>,
    told: usize,
}

impl Sayings {
    fn add(&mut self, said: ConsentMessage) {
        self.all.push(said);
    }

    fn tell(&mut self) -> Option<&ConsentMessage> {
        let next = self.all.get(self.told)?;
        self.told += 1;
        Some(next)
    }

    pub(super) const fn begin_anew(&mut self) {
        self.told = 0;
    }
}

fn fault(expected: impl ToString, found: impl ToString) -> Fault {
    Fault::new(Check::Consent, expected, found)
}

fn in_full(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

fn agency(name: &str) -> Result<AgencyName, Fault> {
    name.parse().map_err(|error| fault("the name of an agency", error))
}

fn consent_in(wire: Option<pb::Consent>) -> Result<Consent, Fault> {
    Consent::try_from(wire.unwrap_or_default())
        .map_err(|error| fault("a statement about consent", in_full(&error)))
}
