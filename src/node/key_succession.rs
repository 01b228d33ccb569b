//! The way on for a stopped node whose newest copy is an old one: its logs are succeeded by those of
//! the next generation.
//!
//! What was lost cannot be made again bit for bit, so nothing of the old generation is ever signed
//! again: the next has other origins and other keys, and the private keys of before are gone. Only
//! what this node's own keys signed, as partners showed it, or files of its store that are ahead of the
//! segments, let anybody come here.

pub(super) mod error;

use super::config::Config;
use super::error::NodeError;
use super::init::{self, error::InitError};
use super::log_keys::{self, log_keys};
use super::peers::pair::pair_with;
use super::witnessing::witness::adopt;
use crate::exchange::{OwnLine, Pair};
use crate::ident::{AgencyName, Generation, Timestamp};
use crate::journal::JournalError;
use crate::journal::entry::ENTRY_BYTES_MAX;
use crate::journal::loss::Loss;
use crate::journal::open;
use crate::journal::state::{PartnerRecord, State};
use crate::journal::transaction::{Signing, Transaction};
use crate::journal::view::View;
use crate::journal::writer::{Clock, JournalWriter};
use crate::merkle::{SignedCheckpoint, TreeHead};
use crate::partner::{Card, NodeKeys, PublicKey, Role, SecretKey, VerifiedCard};
use crate::pb::{self, journal_entry::Event};
use crate::record::draft::SeriesSecret;
use error::SuccessionError;
use prost::Message as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Notes of what was lost in one entry at the most: with names of the greatest length, two lines and a
/// checkpoint have about 1,200 bytes.
pub const LOST_MAX: usize = 48;
const _: () = assert!(LOST_MAX * 1_300 < ENTRY_BYTES_MAX);
/// Longest reason.
const REASON_BYTES_MAX: usize = 1_024;
/// Longest name of who did it.
const BY_BYTES_MAX: usize = 128;

/// The directory of partners' evidence that something is missing here, below the node's directory.
const SHOWN_DIR: &str = "behind";
/// The keys of the next generation before they are in force.
const KEYS_DIR: &str = "succession";
/// The same when they are, until it is removed.
const DONE_DIR: &str = "succession.done";

/// The person who requests the succession, and the reason.
#[derive(Debug, Clone)]
pub struct Request {
    pub reason: String,
    pub by: String,
}

/// Something that this agency signed and that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The partner that showed it.
    pub partner: AgencyName,
    pub origin: String,
    /// Entries of that log as they were signed.
    pub signed: u64,
    /// Entries of it that are left, or known, here.
    pub left: u64,
    note: Vec<u8>,
    by_us: bool,
}

/// A succession that was made, or brought to its end.
#[derive(Debug, Clone)]
pub struct Succession {
    pub generation: Generation,
    /// Entries of the journal that are left from the generations before.
    pub left: u64,
    /// Empty when a succession that was cut short was brought to its end.
    pub lost: Vec<Lost>,
    /// The loss that the files of the store show, without any partner.
    pub loss: Option<Loss>,
    /// The new card, for partners.
    pub card: PathBuf,
}

/// Keeps what a partner showed when this node found out that it is behind.
pub(super) fn keep_shown(dir: &Path, agency: &AgencyName, hello: &pb::Hello) -> io::Result<()> {
    let shown = dir.join(SHOWN_DIR);
    std::fs::create_dir_all(&shown)?;
    let new = shown.join(format!("{agency}.new"));
    std::fs::write(&new, hello.encode_to_vec())?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, shown.join(format!("{agency}.hello")))?;
    File::open(&shown)?.sync_all()
}

/// The log keys of the next generation.
struct NextKeys {
    keys: Vec<SecretKey>,
    are_stored: bool,
}

impl NextKeys {
    /// Those of a succession that was cut short, otherwise new ones, which are nowhere yet.
    fn find_or_make(dir: &Path) -> Result<Self, NodeError> {
        let failed = |error| NodeError::start("keys of the next generation", error);
        let dir = dir.join(KEYS_DIR);
        let are_stored = dir.exists();
        let key = |role: Role| match are_stored && role.path(&dir).exists() {
            true => SecretKey::load(&dir, role),
            false => SecretKey::generate(role),
        };
        let keys = Role::LOGS.into_iter().map(key).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self { keys, are_stored })
    }

    fn store(&self, dir: &Path) -> Result<(), NodeError> {
        let failed = |error| NodeError::start("keys of the next generation", error);
        let dir = dir.join(KEYS_DIR);
        for key in self.keys.iter().filter(|key| !key.role().path(&dir).exists()) {
            key.store(&dir).map_err(failed)?;
        }
        Ok(())
    }

    fn are_on(&self, card: &Card) -> bool {
        self.are_stored && self.keys.iter().map(|key| *key.public()).eq(log_keys(card))
    }
}

/// Succeeds the logs of the node in `dir`, which must not run, and brings one that was cut short to its
/// end.
pub async fn succeed(dir: &Path, request: Request, clock: Clock) -> Result<Succession, NodeError> {
    check_text("the reason", &request.reason, REASON_BYTES_MAX)?;
    check_text("the name of who does it", &request.by, BY_BYTES_MAX)?;
    let config = Config::load(dir)?;
    let keys = NodeKeys::load(dir).map_err(|error| NodeError::start("keys", error))?;
    let next = NextKeys::find_or_make(dir)?;
    let signing = Signing {
        agency: config.agency()?,
        journal_key: next.keys[0].signing_key().clone(),
        series_secret: SeriesSecret::from_bytes(*keys.series.as_bytes()),
    };
    let options = config.store.journal(dir)?;
    let (journal, writer, loss) = open::open_after_loss(&options, signing, Arc::clone(&clock))?;
    // Nothing is signed under a time before the journal's last.
    let last = journal.view().snapshot().state.last_at;
    let now = last.map_or_else(|| clock(), |last| last.max(clock()));
    let succeeding = Succeeding { dir, store: options.dir, journal, keys, next, loss, now };
    let made = succeeding.run(request).await;
    writer.join()?;
    made
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), NodeError> {
    let sound = !text.trim().is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    if sound {
        return Ok(());
    }
    Err(SuccessionError::Text { what, found: text.len(), max }.into())
}

struct Succeeding<'a> {
    dir: &'a Path,
    store: PathBuf,
    journal: JournalWriter,
    keys: NodeKeys,
    next: NextKeys,
    /// A loss that shows here, without any partner.
    loss: Option<Loss>,
    now: Timestamp,
}

impl Succeeding<'_> {
    async fn run(self, request: Request) -> Result<Succession, NodeError> {
        let snapshot = self.journal.view().snapshot();
        let before = snapshot.state.card.clone().ok_or(SuccessionError::NotBegun)?;
        if self.next.are_on(before.card()) {
            return self.put_in_force(&before, snapshot.size, Vec::new(), None);
        }
        log_keys::check(&self.keys, &snapshot.state)?;
        let mut lost = self.lost(&snapshot.state)?;
        if lost.is_empty() && self.loss.is_none() {
            return Err(SuccessionError::NothingLost.into());
        }
        let journal = before.card().generation.journal_origin(&before.card().agency);
        lost.sort_by_key(|lost| (lost.origin != journal, !lost.by_us, u64::MAX - lost.signed));
        let card = self.next_card(&before)?;
        self.next.store(self.dir)?;
        let succeeded = pb::LogSucceeded {
            generation: card.card().generation.to_wire(),
            last_note: snapshot.note.clone(),
            lost: lost.iter().take(LOST_MAX).map(pb::LostSigned::from).collect(),
            reason: request.reason,
            by: request.by,
            recorded_size: self.loss.as_ref().map_or(0, |loss| loss.recorded),
        };
        let given = given(&lost);
        let signed = card.signed().clone();
        self.journal.commit(move |tx| write_down(tx, succeeded, signed, given)).await?;
        let loss = self.loss.clone();
        self.put_in_force(&card, snapshot.size, lost, loss)
    }

    /// The same card with the next generation, its keys and a new date.
    fn next_card(&self, before: &VerifiedCard) -> Result<VerifiedCard, NodeError> {
        let identity = self.keys.identity.as_ref().ok_or(InitError::NoIdentityKey)?;
        let keys = [0, 1, 2].map(|at: usize| *self.next.keys[at].public());
        next_card(before, keys, self.now)?
            .seal(identity)
            .map_err(|error| NodeError::start("card", error))
    }

    /// Replaces keys and card file. Repeated after a cut, it does the same.
    fn put_in_force(
        &self,
        card: &VerifiedCard,
        left: u64,
        lost: Vec<Lost>,
        loss: Option<Loss>,
    ) -> Result<Succession, NodeError> {
        for key in &self.next.keys {
            key.replace(self.dir).map_err(|error| NodeError::start("keys", error))?;
        }
        let path = self.dir.join(init::CARD_FILE);
        let armour = card.to_armour().map_err(|error| NodeError::start("card", error))?;
        init::write(&path, &armour)?;
        Loss::forget(&self.store).map_err(JournalError::from)?;
        self.clear_up().map_err(|error| NodeError::start("clearing up", error))?;
        let generation = card.card().generation;
        Ok(Succession { generation, left, lost, loss, card: path })
    }

    /// The keys in force must never be taken for those of a succession that was cut short, so their
    /// directory loses its name at once.
    fn clear_up(&self) -> io::Result<()> {
        let done = self.dir.join(DONE_DIR);
        remove(&done)?;
        std::fs::rename(self.dir.join(KEYS_DIR), &done)?;
        File::open(self.dir)?.sync_all()?;
        remove(&done)?;
        remove(&self.dir.join(SHOWN_DIR))
    }

    /// Returns the things that partners showed and that are missing here.
    fn lost(&self, state: &State) -> Result<Vec<Lost>, NodeError> {
        let (view, own) = (self.journal.view(), &self.journal.signing().agency);
        let mut lost = Vec::new();
        for (agency, partner) in &state.partners {
            let path = self.dir.join(SHOWN_DIR).join(format!("{agency}.hello"));
            let hello = match std::fs::read(&path) {
                Ok(bytes) => pb::Hello::decode(&bytes[..]).map_err(|error| {
                    NodeError::start("the checkpoints that a partner showed", error)
                })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(NodeError::start("the checkpoints that a partner showed", error));
                }
            };
            lost.extend(missing(view, own, (agency, partner), &hello)?);
        }
        Ok(lost)
    }
}

/// Returns what a partner's hello shows that this agency signed and that is missing here.
pub(super) fn missing(
    view: &View,
    own: &AgencyName,
    (agency, partner): (&AgencyName, &PartnerRecord),
    hello: &pb::Hello,
) -> Result<Vec<Lost>, NodeError> {
    let (mut lost, snapshot) = (Vec::new(), view.snapshot());
    let (state, pair) = (&snapshot.state, pair_with(view, own, agency)?);
    Shown { agency, partner, state, view, pair }.missing(hello, &mut lost)?;
    Ok(lost)
}

/// Returns a card like this one for the next generation of the logs, with its journal key, witness key and
/// receipt key.
pub(super) fn next_card(
    before: &VerifiedCard,
    [journal_key, witness_key, receipt_key]: [PublicKey; 3],
    now: Timestamp,
) -> Result<Card, NodeError> {
    let hash = before.hash();
    let known = before.card();
    let generation = known.generation.next().ok_or(SuccessionError::LastGeneration)?;
    let now = now.max(known.issued_at);
    Ok(Card {
        generation,
        journal_key,
        witness_key,
        receipt_key,
        serial: known.serial + 1,
        issued_at: now,
        expires_at: now.plus_ms(init::CARD_DAYS * init::DAY_MS),
        previous: Some(hash),
        ..known.clone()
    })
}

/// Writes a succession down: what was lost, the card of the next generation, and cosignatures of ours that are
/// known again.
pub(super) fn write_down(
    tx: &mut Transaction<'_>,
    succeeded: pb::LogSucceeded,
    card: pb::SignedCard,
    given: Vec<pb::CosignatureGiven>,
) -> Result<(), JournalError> {
    tx.append(Event::LogSucceeded(succeeded))?;
    tx.append(Event::CardIssued(pb::CardIssued { card: Some(card) }))?;
    given.into_iter().try_for_each(|given| adopt(tx, given))
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl From<&Lost> for pb::LostSigned {
    fn from(lost: &Lost) -> Self {
        Self { partner: lost.partner.to_string(), note: lost.note.clone().into() }
    }
}

/// Cosignatures of ours among what was lost: they are known again.
pub(super) fn given(lost: &[Lost]) -> Vec<pb::CosignatureGiven> {
    let journals =
        lost.iter().filter(|lost| lost.by_us && Generation::of_journal(&lost.origin).is_some());
    journals
        .map(|lost| pb::CosignatureGiven {
            origin: lost.origin.clone(),
            partner: lost.partner.to_string(),
            note: lost.note.clone().into(),
        })
        .collect()
}

/// The evidence of one partner, compared with the state here.
struct Shown<'a> {
    agency: &'a AgencyName,
    partner: &'a PartnerRecord,
    state: &'a State,
    view: &'a View,
    pair: Pair,
}

impl Shown<'_> {
    /// Notes that do not hold under the keys in force say nothing.
    fn missing(&self, hello: &pb::Hello, lost: &mut Vec<Lost>) -> Result<(), NodeError> {
        if let Ok(signed) = self.pair.open_witnessed(&hello.witnessed_note) {
            let journal = self.view.journal();
            self.own_log(&signed, journal.size(), |size| Ok(journal.root_at(size)?), lost)?;
        }
        if let Ok(signed) = self.pair.open_receipt(&hello.receipt_note) {
            let feed = self.view.feed(self.partner.feed)?;
            self.own_log(&signed, feed.size(), |size| Ok(feed.root_at(size)?), lost)?;
        }
        if let Ok(OwnLine::InForce(signed)) = self.pair.open_own_cosigned(&hello.cosigned_note) {
            let origin = signed.checkpoint().origin().to_string();
            let known = self.state.witnessing.known(&origin).size.get();
            lost.extend(self.beyond(&signed, known, true));
        }
        if let Ok(OwnLine::InForce(signed)) = self.pair.open_own_receipt(&hello.receipted_note) {
            let held = self.partner.received.frontier.size().get();
            lost.extend(self.beyond(&signed, held, true));
        }
        Ok(())
    }

    fn own_log(
        &self,
        signed: &SignedCheckpoint,
        left: u64,
        root_at: impl Fn(u64) -> Result<crate::ident::TreeHash, NodeError>,
        lost: &mut Vec<Lost>,
    ) -> Result<(), NodeError> {
        let TreeHead { size, root } = signed.checkpoint().head();
        if size.get() <= left && root_at(size.get())? != root {
            let origin = signed.checkpoint().origin().to_string();
            let agency = self.agency.clone();
            return Err(SuccessionError::TwoHistories { agency, origin, size }.into());
        }
        lost.extend(self.beyond(signed, left, false));
        Ok(())
    }

    fn beyond(&self, signed: &SignedCheckpoint, left: u64, by_us: bool) -> Option<Lost> {
        let size = signed.checkpoint().size().get();
        (size > left).then(|| Lost {
            partner: self.agency.clone(),
            origin: signed.checkpoint().origin().to_string(),
            signed: size,
            left,
            note: signed.to_bytes(),
            by_us,
        })
    }
}
