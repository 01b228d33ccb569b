//! The consent: a signed statement of an originator on another agency's use of its records.
//!
//! A record under originator control (Europol H2) is passed on, and one that is not for evidence (H1)
//! is used in proceedings, only where its originator agrees. It says so in a statement of its own,
//! because what it signed first is never changed. A statement names the agency that may act on it and
//! is worth nothing to any other. What a consent covers is decided from signed headers alone, so that
//! an auditor decides it alike. Never here: whether one is in force, which takes a journal.

use super::header::{self, HeaderError};
use super::signed::KeyRing;
use crate::ident::{AGENCY_NAME_BYTES_MAX, AgencyName, IdentError, KeyId, RecordId, Timestamp};
use crate::pb;
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey};

const CONSENT_TAG: &[u8] = b"liaison/consent/v1\0";

/// Bytes of the words that go with a request or a statement.
pub const REASON_BYTES_MAX: usize = 256;

/// The longest validity of a consent: five years. A longer use is asked for again, of people who
/// know of it then.
pub const VALID_MS_MAX: i64 = 5 * 366 * 24 * 3_600 * 1_000;

/// Members of a roster at the most. With names of at most 100 bytes a statement stays below 14 KiB, so
/// that a journal entry of 65,535 bytes holds it and a batch many of them.
pub const ROSTER_MEMBERS_MAX: usize = 128;

/// Bytes of an encoded request or statement: two counts, two times, verdict and key of at most 64,
/// the subject of at most 279 without members, words of at most 259, a signature of 66, and for each
/// member a name of at most 100 bytes behind its tag and length.
pub const CONSENT_BYTES_MAX: usize = 676 + ROSTER_MEMBERS_MAX * (AGENCY_NAME_BYTES_MAX + 2);

/// The reason why bytes are not a request for a consent or a statement about one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    #[error("consent purpose {0} is unknown")]
    Purpose(i32),
    #[error("consent scope {0} is unknown")]
    Scope(i32),
    #[error("verdict {0} is unknown")]
    Verdict(i32),
    #[error("it counts from 1, found 0")]
    Number,
    #[error("partner")]
    Partner(#[source] IdentError),
    #[error("a record id has 32 bytes, found {0}")]
    RecordId(usize),
    #[error("operation")]
    Operation(#[source] HeaderError),
    #[error("the name of the operation is missing")]
    NoOperation,
    #[error(
        "the name of the circle is empty, above 64 bytes, or holds white space or a slash: {0:?}"
    )]
    Circle(String),
    #[error("a roster of {0} members is above {ROSTER_MEMBERS_MAX}")]
    Members(usize),
    #[error("the members of a roster ascend, each once; {0} does not")]
    MemberOrder(AgencyName),
    #[error("a request for a roster names members")]
    MembersAsked,
    #[error("time {0} ms lies outside the years 2000 to 2100")]
    Time(u64),
    #[error("it is good until {until}, which is not after {at} and within five years of it")]
    Validity { at: Timestamp, until: Timestamp },
    #[error("its reason has {0} bytes, at most {REASON_BYTES_MAX} are possible")]
    ReasonLength(usize),
    #[error("its reason has control characters")]
    ReasonForm,
    #[error("the reason is missing")]
    NoReason,
    #[error("a key id has 16 bytes and a signature 64")]
    Length,
    #[error("it has fields that do not fit its purpose, scope or verdict")]
    Surplus,
    #[error("key {key} is not a record key of {originator} at {at}")]
    UnknownKey { key: KeyId, originator: AgencyName, at: Timestamp },
    #[error("the signature does not verify under key {key} of {originator}")]
    Signature { key: KeyId, originator: AgencyName },
}

/// The use that a consent allows the holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Pass records on to this agency.
    Forward(AgencyName),
    /// Use records in judicial proceedings.
    Evidence,
    /// Pass on to the members of a circle the records that are marked for it.
    Circle(Roster),
}

/// The members of a circle of an originator. The circle is known by originator and name together: two
/// agencies may use one name for different circles.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Roster {
    circle: String,
    members: Vec<AgencyName>,
}

impl Roster {
    /// Refuses a name that no marking can have, and members that are not in order.
    pub fn new(circle: String, members: Vec<AgencyName>) -> Result<Self, ConsentError> {
        if !header::is_circle_name(&circle) {
            return Err(ConsentError::Circle(circle));
        }
        if members.len() > ROSTER_MEMBERS_MAX {
            return Err(ConsentError::Members(members.len()));
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(ConsentError::MemberOrder(pair[1].clone()));
        }
        Ok(Self { circle, members })
    }

    /// The name of the circle, as markings of the originator have it.
    pub fn circle(&self) -> &str {
        &self.circle
    }

    pub fn members(&self) -> &[AgencyName] {
        &self.members
    }

    pub fn contains(&self, agency: &AgencyName) -> bool {
        self.members.binary_search(agency).is_ok()
    }
}

/// The records of the originator that a consent covers, chosen by their signed headers alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// This one and no revision of it.
    Record(RecordId),
    /// A case: the records whose header has this operation code.
    Operation(String),
    All,
}

/// The subject of a request for a consent and of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    pub purpose: Purpose,
    pub scope: Scope,
}

impl Subject {
    /// The roster that it states, if it states one.
    pub const fn roster(&self) -> Option<&Roster> {
        match &self.purpose {
            Purpose::Circle(roster) => Some(roster),
            Purpose::Forward(_) | Purpose::Evidence => None,
        }
    }

    /// Returns true if a grant of this one replaces a grant of the other: both state the roster of one
    /// circle for the same records.
    pub fn supersedes(&self, other: &Self) -> bool {
        let circle = |subject: &Self| subject.roster().map(|roster| roster.circle.clone());
        circle(self).is_some() && circle(self) == circle(other) && self.scope == other.scope
    }
}

/// The originator's answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConsentVerdict {
    /// The consent is granted: from its arrival at the holder until this time.
    Granted {
        until: Timestamp,
    },
    Refused,
    /// The consent of this number is taken back.
    Revoked,
}

/// The originator and the holder of a consent. They are under the signature and are not
/// transmitted: a feed has two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties<'a> {
    pub originator: &'a AgencyName,
    pub holder: &'a AgencyName,
}

/// The holder asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRequest {
    /// Counts the holder's requests to this originator from 1.
    pub number: u64,
    pub subject: Subject,
    /// The reason, for the person who decides.
    reason: String,
}

/// A consent statement. Only [`Self::verify`] checks its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Counts the originator's consents and refusals for this holder from 1.
    pub number: u64,
    /// The request that it answers; 0 if nobody asked.
    pub request: u64,
    pub verdict: ConsentVerdict,
    pub subject: Subject,
    pub at: Timestamp,
    pub key_id: KeyId,
    reason: String,
    signature: [u8; 64],
}

/// A consent statement of the originator before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentTerms {
    pub number: u64,
    pub request: u64,
    pub verdict: ConsentVerdict,
    pub subject: Subject,
    pub at: Timestamp,
    pub reason: String,
}

impl ConsentRequest {
    pub fn new(number: u64, subject: Subject, reason: String) -> Result<Self, ConsentError> {
        check_number(number)?;
        check_reason(&reason, true)?;
        if subject.roster().is_some_and(|roster| !roster.members.is_empty()) {
            return Err(ConsentError::MembersAsked);
        }
        Ok(Self { number, subject, reason })
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Consent {
    /// Signs a statement, if it is one.
    pub fn sign(
        saying: ConsentTerms,
        parties: Parties<'_>,
        (key, key_id): (&SigningKey, KeyId),
    ) -> Result<Self, ConsentError> {
        let ConsentTerms { number, request, verdict, subject, at, reason } = saying;
        let unsigned =
            Self { number, request, verdict, subject, at, key_id, reason, signature: [0; 64] };
        unsigned.check()?;
        let signature = key.sign(&unsigned.message(parties)).to_bytes();
        Ok(Self { signature, ..unsigned })
    }

    /// Verifies that this originator signed this statement for this holder.
    pub fn verify(&self, parties: Parties<'_>, keys: &impl KeyRing) -> Result<(), ConsentError> {
        let (key, originator) = (self.key_id, parties.originator.clone());
        let Some(verifying) = keys.record_key(&originator, key, self.at) else {
            return Err(ConsentError::UnknownKey { key, originator, at: self.at });
        };
        verifying
            .verify_strict(&self.message(parties), &Signature::from_bytes(&self.signature))
            .map_err(|_| ConsentError::Signature { key, originator })
    }

    /// Returns the originator's reason; empty if it gave none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn check(&self) -> Result<(), ConsentError> {
        check_number(self.number)?;
        check_reason(&self.reason, !matches!(self.verdict, ConsentVerdict::Granted { .. }))?;
        let ConsentVerdict::Granted { until } = self.verdict else { return Ok(()) };
        let ms = until.unix_ms() - self.at.unix_ms();
        if (1..=VALID_MS_MAX).contains(&ms) {
            Ok(())
        } else {
            Err(ConsentError::Validity { at: self.at, until })
        }
    }

    /// Returns the message that a record key signs: the tag, then all fields in the order of
    /// docs/FORMATS.md. Texts come after their length as u32, numbers as u64, both big-endian.
    fn message(&self, Parties { originator, holder }: Parties<'_>) -> Vec<u8> {
        let wire = pb::ConsentSubject::from(&self.subject);
        let until = match self.verdict {
            ConsentVerdict::Granted { until } => until.unix_ms().unsigned_abs(),
            ConsentVerdict::Refused | ConsentVerdict::Revoked => 0,
        };
        let mut message = CONSENT_TAG.to_vec();
        let text = |message: &mut Vec<u8>, bytes: &[u8]| {
            message.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            message.extend_from_slice(bytes);
        };
        let number = |message: &mut Vec<u8>, number: u64| {
            message.extend_from_slice(&number.to_be_bytes());
        };
        text(&mut message, originator.as_str().as_bytes());
        text(&mut message, holder.as_str().as_bytes());
        number(&mut message, self.number);
        number(&mut message, self.request);
        number(&mut message, u64::from(pb::ConsentVerdict::from(self.verdict) as u32));
        number(&mut message, u64::from(wire.purpose.unsigned_abs()));
        text(&mut message, wire.partner.as_bytes());
        number(&mut message, u64::from(wire.scope.unsigned_abs()));
        text(&mut message, &wire.record_id);
        text(&mut message, wire.operation.as_bytes());
        text(&mut message, wire.circle.as_bytes());
        number(&mut message, wire.members.len() as u64);
        wire.members.iter().for_each(|member| text(&mut message, member.as_bytes()));
        number(&mut message, self.at.unix_ms().unsigned_abs());
        number(&mut message, until);
        text(&mut message, self.reason.as_bytes());
        message
    }
}

const fn check_number(number: u64) -> Result<(), ConsentError> {
    if number == 0 { Err(ConsentError::Number) } else { Ok(()) }
}

fn check_reason(reason: &str, required: bool) -> Result<(), ConsentError> {
    if required && reason.trim().is_empty() {
        return Err(ConsentError::NoReason);
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(ConsentError::ReasonLength(reason.len()));
    }
    if reason.chars().any(char::is_control) {
        return Err(ConsentError::ReasonForm);
    }
    Ok(())
}

fn time(ms: u64) -> Result<Timestamp, ConsentError> {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or(ConsentError::Time(ms))
}

impl From<ConsentVerdict> for pb::ConsentVerdict {
    fn from(verdict: ConsentVerdict) -> Self {
        match verdict {
            ConsentVerdict::Granted { .. } => Self::Granted,
            ConsentVerdict::Refused => Self::Refused,
            ConsentVerdict::Revoked => Self::Revoked,
        }
    }
}

impl From<&Subject> for pb::ConsentSubject {
    fn from(subject: &Subject) -> Self {
        let mut wire = Self::default();
        match &subject.purpose {
            Purpose::Forward(partner) => {
                wire.purpose = pb::ConsentPurpose::Forward.into();
                wire.partner = partner.to_string();
            }
            Purpose::Evidence => wire.purpose = pb::ConsentPurpose::Evidence.into(),
            Purpose::Circle(roster) => {
                wire.purpose = pb::ConsentPurpose::Circle.into();
                wire.circle.clone_from(&roster.circle);
                wire.members = roster.members.iter().map(ToString::to_string).collect();
            }
        }
        match &subject.scope {
            Scope::Record(id) => {
                wire.scope = pb::ConsentScope::Record.into();
                wire.record_id = Bytes::copy_from_slice(id.as_bytes());
            }
            Scope::Operation(code) => {
                wire.scope = pb::ConsentScope::Operation.into();
                wire.operation.clone_from(code);
            }
            Scope::All => wire.scope = pb::ConsentScope::All.into(),
        }
        wire
    }
}

impl TryFrom<pb::ConsentSubject> for Subject {
    type Error = ConsentError;

    fn try_from(wire: pb::ConsentSubject) -> Result<Self, ConsentError> {
        let purpose = match wire.purpose() {
            pb::ConsentPurpose::Forward => {
                Purpose::Forward(wire.partner.parse().map_err(ConsentError::Partner)?)
            }
            pb::ConsentPurpose::Evidence => Purpose::Evidence,
            pb::ConsentPurpose::Circle => {
                if wire.members.len() > ROSTER_MEMBERS_MAX {
                    return Err(ConsentError::Members(wire.members.len()));
                }
                let members = wire.members.iter().map(|name| name.parse::<AgencyName>());
                let members = members.collect::<Result<Vec<_>, _>>();
                let members = members.map_err(ConsentError::Partner)?;
                Purpose::Circle(Roster::new(wire.circle.clone(), members)?)
            }
            pb::ConsentPurpose::Unspecified => return Err(ConsentError::Purpose(wire.purpose)),
        };
        let scope = match wire.scope() {
            pb::ConsentScope::Record => Scope::Record(
                RecordId::try_from(&wire.record_id[..])
                    .map_err(|_| ConsentError::RecordId(wire.record_id.len()))?,
            ),
            pb::ConsentScope::Operation => {
                let code = header::operation_in(wire.operation.clone());
                let code = code.map_err(ConsentError::Operation)?;
                Scope::Operation(code.ok_or(ConsentError::NoOperation)?)
            }
            pb::ConsentScope::All => Scope::All,
            pb::ConsentScope::Unspecified => return Err(ConsentError::Scope(wire.scope)),
        };
        let subject = Self { purpose, scope };
        // One statement has one form: nothing rides along that is not under the signature.
        if pb::ConsentSubject::from(&subject) != wire {
            return Err(ConsentError::Surplus);
        }
        Ok(subject)
    }
}

impl From<&ConsentRequest> for pb::ConsentRequest {
    fn from(request: &ConsentRequest) -> Self {
        let ConsentRequest { number, subject, reason } = request;
        Self { number: *number, subject: Some(subject.into()), reason: reason.clone() }
    }
}

impl TryFrom<pb::ConsentRequest> for ConsentRequest {
    type Error = ConsentError;

    fn try_from(wire: pb::ConsentRequest) -> Result<Self, ConsentError> {
        let pb::ConsentRequest { number, subject, reason } = wire;
        Self::new(number, subject.unwrap_or_default().try_into()?, reason)
    }
}

impl From<&Consent> for pb::Consent {
    fn from(consent: &Consent) -> Self {
        let until = match consent.verdict {
            ConsentVerdict::Granted { until } => until.unix_ms().unsigned_abs(),
            ConsentVerdict::Refused | ConsentVerdict::Revoked => 0,
        };
        Self {
            number: consent.number,
            request: consent.request,
            verdict: pb::ConsentVerdict::from(consent.verdict).into(),
            subject: Some((&consent.subject).into()),
            at_ms: consent.at.unix_ms().unsigned_abs(),
            valid_until_ms: until,
            reason: consent.reason.clone(),
            key_id: Bytes::copy_from_slice(consent.key_id.as_bytes()),
            signature: Bytes::copy_from_slice(&consent.signature),
        }
    }
}

impl TryFrom<pb::Consent> for Consent {
    type Error = ConsentError;

    fn try_from(wire: pb::Consent) -> Result<Self, ConsentError> {
        let asked = wire.verdict();
        let pb::Consent {
            number,
            request,
            verdict,
            subject,
            at_ms,
            valid_until_ms,
            reason,
            key_id,
            signature,
        } = wire;
        let verdict = match asked {
            pb::ConsentVerdict::Granted => ConsentVerdict::Granted { until: time(valid_until_ms)? },
            pb::ConsentVerdict::Refused => ConsentVerdict::Refused,
            pb::ConsentVerdict::Revoked => ConsentVerdict::Revoked,
            pb::ConsentVerdict::Unspecified => return Err(ConsentError::Verdict(verdict)),
        };
        if valid_until_ms != 0 && !matches!(verdict, ConsentVerdict::Granted { .. }) {
            return Err(ConsentError::Surplus);
        }
        let consent = Self {
            number,
            request,
            verdict,
            subject: subject.unwrap_or_default().try_into()?,
            at: time(at_ms)?,
            key_id: KeyId::try_from(&key_id[..]).map_err(|_| ConsentError::Length)?,
            reason,
            signature: signature[..].try_into().map_err(|_| ConsentError::Length)?,
        };
        consent.check()?;
        Ok(consent)
    }
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
