//! Records signed and verified, beside one Ed25519 operation a record. In memory, one thread.
//!
//! The records are those of a CERT in the demonstration, with all their fields; keys and salts are
//! drawn for the run and forgotten after it.

use super::figures::{Figure, Target};
use super::timing::{failed, median, micros_each, per_second};
use crate::cli::commands::demo::data;
use crate::cli::error::CliError;
use crate::ident::{AgencyName, KeyId, Timestamp};
use crate::merkle::{BATCH_LEAVES, leaf_hash};
use crate::pb;
use crate::record::commit::{Salt, batch_message};
use crate::record::draft::{self, Draft, DraftError, Place, Sealed, SeriesSecret};
use crate::record::signed::{KeyRing, RecordError, Signed, Verified, VerifiedRoots};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records of one round: well beyond what any cache of the processor holds.
const RECORDS: usize = 20_000;
/// Single signatures of one round; at some 30 µs each, long enough to be steady.
const SINGLES: usize = 5_000;
/// Rounds, of which the one in the middle counts.
const ROUNDS: usize = 3;

/// An originator made up for the run.
struct Originator {
    agency: AgencyName,
    key: SigningKey,
    key_id: KeyId,
    created_at: Timestamp,
}

impl KeyRing for Originator {
    fn record_key(
        &self,
        originator: &AgencyName,
        key: KeyId,
        _: Timestamp,
    ) -> Option<VerifyingKey> {
        (*originator == self.agency && key == self.key_id).then(|| self.key.verifying_key())
    }
}

/// Bytes from the machine's generator.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(failed("cannot draw random numbers"))?;
    Ok(bytes)
}

/// Counts on from a random start: salts of records that never leave this process.
struct Salts(u128);

impl Salts {
    fn next(&mut self) -> Salt {
        self.0 = self.0.wrapping_add(1);
        self.0.to_be_bytes()
    }
}

/// The same for the leaves of a batch that are not records.
struct Padding([u8; 32]);

impl Padding {
    fn next(&mut self) -> [u8; 32] {
        self.0 = *leaf_hash(&self.0).as_bytes();
        self.0
    }
}

impl Originator {
    fn new() -> Result<Self, CliError> {
        let agency = "cert.example".parse().map_err(failed("cannot name an agency"))?;
        let key = SigningKey::from_bytes(&random()?);
        let key_id = KeyId::from_bytes(random()?);
        let created_at = (crate::journal::open::system_clock())();
        Ok(Self { agency, key, key_id, created_at })
    }

    fn sealed(&self, drafts: Vec<Draft>) -> Result<Vec<Sealed>, CliError> {
        let secret = SeriesSecret::from_bytes(random()?);
        let mut salts = Salts(u128::from_be_bytes(random()?));
        let seal = |draft: Draft| {
            let place = Place::first(draft.series(&secret));
            draft.seal(self.agency.clone(), place, self.created_at, || salts.next())
        };
        Ok(drafts.into_iter().map(seal).collect())
    }

    fn signed(&self, drafts: Vec<Draft>) -> Result<Vec<Verified>, CliError> {
        let sealed = self.sealed(drafts)?;
        let mut padding = Padding(random()?);
        draft::sign(sealed, &self.key, self.key_id, || padding.next())
            .map_err(failed("cannot sign records"))
    }
}

/// Signed records, ready for a journal, and the agency that signed them.
pub(super) fn records(count: usize) -> Result<(AgencyName, Vec<Arc<Verified>>), CliError> {
    let originator = Originator::new()?;
    let records = originator.signed(drafts(count)?)?.into_iter().map(Arc::new).collect();
    Ok((originator.agency, records))
}

fn drafts(count: usize) -> Result<Vec<Draft>, CliError> {
    (0..count)
        .map(|n| Draft::try_from(data::indicator(n)))
        .collect::<Result<_, DraftError>>()
        .map_err(failed("cannot make records"))
}

/// All figures over signatures.
pub(super) fn measure() -> Result<Vec<Figure>, CliError> {
    let originator = Originator::new()?;
    let drafts = drafts(RECORDS)?;
    let records = originator.signed(drafts.clone())?;
    let envelopes: Vec<pb::Envelope> = records.iter().map(Verified::envelope).collect();
    let full = rounds(|| verify_all(&envelopes, &originator))?;
    let alone = rounds(|| verify_signatures(&envelopes, &originator))?;
    let signing = rounds(|| sign_all(&drafts, &originator))?;
    let singles = Singles::new(&originator, &records);
    let verify_limit = rounds(|| singles.verify())?;
    let sign_limit = rounds(|| singles.sign())?;
    let verified = |what: &str, time| {
        rate(what, RECORDS, time).limit(
            format!("one strict verification each, {}", each(SINGLES, verify_limit)),
            per_second(SINGLES, verify_limit),
        )
    };
    Ok(vec![
        verified("records decoded and verified", full).target(Target::RatioAtLeast(10.0)),
        verified("of it, signatures alone", alone),
        rate("records sealed and signed", RECORDS, signing).limit(
            format!("one signature each, {}", each(SINGLES, sign_limit)),
            per_second(SINGLES, sign_limit),
        ),
    ])
}

fn rate(what: &str, count: usize, time: Duration) -> Figure {
    Figure::new(what, per_second(count, time), "/s").remark(each(count, time))
}

fn each(count: usize, time: Duration) -> String {
    format!("{:.2} µs each", micros_each(count, time))
}

fn rounds(mut round: impl FnMut() -> Result<Duration, CliError>) -> Result<Duration, CliError> {
    (0..ROUNDS).map(|_| round()).collect::<Result<_, _>>().map(median)
}

/// Verifies a partner's envelopes as a node does before it keeps them.
fn verify_all(envelopes: &[pb::Envelope], keys: &Originator) -> Result<Duration, CliError> {
    let envelopes = envelopes.to_vec();
    let mut roots = VerifiedRoots::default();
    let started = Instant::now();
    for envelope in envelopes {
        let verified = Signed::decode(envelope).and_then(|record| record.verify(keys, &mut roots));
        black_box(verified.map_err(failed("a record does not verify"))?);
    }
    Ok(started.elapsed())
}

fn verify_signatures(envelopes: &[pb::Envelope], keys: &Originator) -> Result<Duration, CliError> {
    let signed: Vec<Signed> = envelopes
        .iter()
        .cloned()
        .map(Signed::decode)
        .collect::<Result<_, RecordError>>()
        .map_err(failed("a record cannot be decoded"))?;
    let mut roots = VerifiedRoots::default();
    let started = Instant::now();
    for record in signed {
        let verified = record.verify(keys, &mut roots);
        black_box(verified.map_err(failed("a record does not verify"))?);
    }
    Ok(started.elapsed())
}

/// Series, salts, commitments, header and signature, in batches as a node signs them.
fn sign_all(drafts: &[Draft], originator: &Originator) -> Result<Duration, CliError> {
    let batches: Vec<Vec<Draft>> = drafts.chunks(BATCH_LEAVES).map(<[Draft]>::to_vec).collect();
    let started = Instant::now();
    for batch in batches {
        black_box(originator.signed(batch)?);
    }
    Ok(started.elapsed())
}

/// One signature a record: the price without batches.
struct Singles<'a> {
    originator: &'a Originator,
    signed: Vec<(Vec<u8>, Signature)>,
}

impl<'a> Singles<'a> {
    fn new(originator: &'a Originator, records: &[Verified]) -> Self {
        let sign = |record: &Verified| {
            let message = batch_message(&leaf_hash(record.id().as_bytes())).to_vec();
            let signature = originator.key.sign(&message);
            (message, signature)
        };
        Self { originator, signed: records.iter().take(SINGLES).map(sign).collect() }
    }

    fn verify(&self) -> Result<Duration, CliError> {
        let key = self.originator.key.verifying_key();
        let started = Instant::now();
        for (message, signature) in &self.signed {
            let verified = key.verify_strict(black_box(message), signature);
            verified.map_err(failed("a signature does not verify"))?;
        }
        Ok(started.elapsed())
    }

    fn sign(&self) -> Result<Duration, CliError> {
        let started = Instant::now();
        for (message, _) in &self.signed {
            black_box(self.originator.key.sign(black_box(message)));
        }
        Ok(started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_verifies_under_its_originator_only() {
        let originator = Originator::new().unwrap();
        let records = originator.signed(drafts(70).unwrap()).unwrap();
        let envelopes: Vec<_> = records.iter().map(Verified::envelope).collect();
        assert!(verify_all(&envelopes, &originator).is_ok());
        assert!(verify_signatures(&envelopes, &originator).is_ok());
        assert!(verify_all(&envelopes, &Originator::new().unwrap()).is_err());
    }
}
