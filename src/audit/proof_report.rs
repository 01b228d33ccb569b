//! The result of checking a proof file: the verified facts with their keys, and the facts that
//! nobody checked.

use super::card::Number;
use crate::ident::{AgencyName, KeyId, LeafIndex, RecordId, Timestamp, TreeSize};
use crate::merkle::{CosignatureTime, Origin};
use crate::pb::FeedAction;
use crate::record::marking::Handling;
use serde_json::{Value, json};
use std::fmt;

/// The form in which a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldState {
    Open,
    Empty,
    /// Only its commitment is there.
    Withheld,
    /// Only its commitment is there, and the holder reports that the bytes are gone.
    Erased,
}

impl FieldState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Empty => "empty",
            Self::Withheld => "withheld",
            Self::Erased => "erased",
        }
    }
}

/// One field of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub state: FieldState,
}

/// Something that holds, and by whose key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The originator's signature, over all fields through their commitments.
    Record { originator: AgencyName, key: KeyId, open: u32, slots: u32 },
    /// It stands in the holder's journal.
    Accepted { holder: AgencyName, at: Timestamp, index: LeafIndex, size: TreeSize },
    /// The originator lets the holder use it as evidence.
    Consented { originator: AgencyName, holder: AgencyName, key: KeyId, until: Timestamp },
    /// A witness cosigned that journal.
    Witnessed { witness: String, size: TreeSize, at: CosignatureTime },
    /// It stands in the feed to a partner, who gave a receipt for it.
    Receipted {
        partner: AgencyName,
        action: FeedAction,
        fields: Vec<&'static str>,
        index: LeafIndex,
        size: TreeSize,
        at: Option<CosignatureTime>,
    },
}

impl Checked {
    /// The stable word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
            Self::Accepted { .. } => "accepted",
            Self::Consented { .. } => "consented",
            Self::Witnessed { .. } => "witnessed",
            Self::Receipted { .. } => "receipted",
        }
    }

    /// Returns the name of the key that signed it.
    pub fn by(&self) -> String {
        match self {
            Self::Record { originator, key, .. } => format!("record key {key} of {originator}"),
            Self::Accepted { holder, .. } => format!("journal key of {holder}"),
            Self::Consented { originator, key, .. } => format!("record key {key} of {originator}"),
            Self::Witnessed { witness, .. } => format!("key {witness}"),
            Self::Receipted { partner, .. } => format!("receipt key of {partner}"),
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { originator, open, slots, .. } => write!(
                f,
                "{originator} signed the record; {open} of {slots} fields are open and are those that it signed"
            ),
            Self::Accepted { holder, at, index, size } => write!(
                f,
                "{holder} accepted it at {at}: entry {index} of its journal, proved at size {size}"
            ),
            Self::Consented { originator, holder, until, .. } => {
                write!(f, "{originator} lets {holder} use it as evidence until {until}")
            }
            Self::Witnessed { witness, size, at } => {
                write!(f, "{witness} cosigned the journal at size {size}, {at} s after 1970")
            }
            Self::Receipted { partner, action, fields, index, size, .. } => write!(
                f,
                "{partner} holds entry {index} of its feed ({}; fields {}), by its receipt at size {size}",
                action.as_str_name().trim_start_matches("FEED_ACTION_").to_lowercase(),
                fields.join(", ")
            ),
        }
    }
}

/// Something that the file cannot show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchecked {
    /// Nobody gave the originator's number.
    Identity {
        agency: AgencyName,
        number: Number,
    },
    /// Others have the key, by the newest card.
    Compromised {
        key: KeyId,
        since: Timestamp,
    },
    NoWitness {
        holder: AgencyName,
    },
    /// Signature lines by keys that are not in the file.
    Lines {
        log: Origin,
        lines: usize,
    },
    /// A receipt covers the feed; a separate list has the entries that the partner did not take.
    Exceptions {
        partner: AgencyName,
    },
    Erased {
        holder: AgencyName,
    },
    /// The originator keeps the record from proceedings, and no consent is in the file.
    NotForEvidence {
        originator: AgencyName,
    },
}

impl Unchecked {
    /// The stable word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Identity { .. } => "identity",
            Self::Compromised { .. } => "compromised_key",
            Self::NoWitness { .. } => "no_witness",
            Self::Lines { .. } => "unknown_lines",
            Self::Exceptions { .. } => "exceptions",
            Self::Erased { .. } => "erased",
            Self::NotForEvidence { .. } => "not_for_evidence",
        }
    }
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity { agency, number } => {
                write!(
                    f,
                    "that {agency} has the number {number}: compare it, and give it as --identity"
                )
            }
            Self::Compromised { key, since } => write!(
                f,
                "who signed: the originator's card says that others have record key {key} since {since}"
            ),
            Self::NoWitness { holder } => {
                write!(f, "that {holder} shows everybody the same journal: no witness cosigned it")
            }
            Self::Lines { log, lines } => {
                write!(f, "{lines} signature lines on {log} by keys that are not in the file")
            }
            Self::Exceptions { partner } => write!(
                f,
                "whether {partner} refused to use the record: its receipt says what it holds, not what it took"
            ),
            Self::Erased { holder } => {
                write!(f, "that fields were erased and not only withheld: {holder} says so")
            }
            Self::NotForEvidence { originator } => write!(
                f,
                "whether it may be used in proceedings: {originator} marks it not for evidence (H1), and the \
                 file holds no consent"
            ),
        }
    }
}

/// A proof of which everything holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofReport {
    pub record: RecordId,
    pub kind: &'static str,
    pub originator: AgencyName,
    /// The handling rules for whoever reads the record.
    pub handling: Vec<(Handling, String)>,
    /// Its content is not shown because it is not for evidence.
    pub is_kept_out: bool,
    /// The originator's, by its newest card in the file.
    pub number: Option<Number>,
    pub fields: Vec<Field>,
    pub checked: Vec<Checked>,
    pub unchecked: Vec<Unchecked>,
}

impl ProofReport {
    /// Names of the fields in a state.
    pub fn fields_in(&self, state: FieldState) -> Vec<&'static str> {
        self.fields.iter().filter(|field| field.state == state).map(|field| field.name).collect()
    }

    pub fn to_json(&self) -> Value {
        let fields = |state: FieldState| json!(self.fields_in(state));
        json!({
            "verified": true,
            "record": self.record.to_string(),
            "kind": self.kind,
            "originator": self.originator.to_string(),
            "number": self.number.map(|number| number.to_string()),
            "handling": self.handling.iter().map(|(code, text)| json!({
                "code": code.name(), "text": text,
            })).collect::<Vec<_>>(),
            "kept_out": self.is_kept_out,
            "fields": {
                "open": fields(FieldState::Open),
                "empty": fields(FieldState::Empty),
                "withheld": fields(FieldState::Withheld),
                "erased": fields(FieldState::Erased),
            },
            "checked": self.checked.iter().map(|checked| json!({
                "what": checked.name(), "by": checked.by(), "message": checked.to_string(),
            })).collect::<Vec<_>>(),
            "unchecked": self.unchecked.iter().map(|unchecked| json!({
                "what": unchecked.name(), "message": unchecked.to_string(),
            })).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for ProofReport {
    /// For people, with a line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "record     {} ({})", self.record, self.kind)?;
        writeln!(f, "originator {}", self.originator)?;
        if let Some(number) = self.number {
            writeln!(f, "number     {number}")?;
        }
        for (code, text) in &self.handling {
            writeln!(f, "{:<10} {text}", code.name())?;
        }
        if self.is_kept_out {
            writeln!(
                f,
                "kept out   its content: {} marks it not for evidence (H1) and did not consent; what it \
                 signed is here",
                self.originator
            )?;
        }
        for state in [FieldState::Open, FieldState::Empty, FieldState::Withheld, FieldState::Erased]
        {
            let names = self.fields_in(state);
            if !names.is_empty() {
                writeln!(f, "{:<10} {}", state.name(), names.join(", "))?;
            }
        }
        for checked in &self.checked {
            writeln!(f, "✓ {checked} [{}]", checked.by())?;
        }
        self.unchecked
            .iter()
            .try_for_each(|unchecked| writeln!(f, "- not checked: {unchecked}"))?;
        writeln!(f, "OK")
    }
}
