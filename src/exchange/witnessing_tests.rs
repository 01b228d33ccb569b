//! The cosignatures of a session, and its discovery of lost entries.

use super::fault::{Evidence, Fault, Misbehaviour, Refusal};
use super::fixture::{Agency, Feed, start_of_day};
use super::output::{Alert, Closing, Output};
use super::session::{Input, Session, Standing};
use super::signed_time::{CLOCK_DIFFERENCE_MS_MAX, ImpossibleTime};
use super::witnessing::{JournalSize, WitnessStanding, Witnessed};
use crate::ident::{Generation, Timestamp, TreeHash, TreeSize};
use crate::merkle::{
    Checkpoint, Cosigner, Frontier, NoteSigner, NoteVerifier, Origin, SignedCheckpoint, TreeHead,
    WitnessRefusal, leaf_hash,
};
use crate::pb::{self, exchange_frame::Body};

const EVERY_MS: i64 = 60_000;

struct Scene {
    a: Agency,
    b: Agency,
}

fn scene() -> Scene {
    Scene { a: Agency::new(1), b: Agency::new(2) }
}

fn size(size: u64) -> TreeSize {
    TreeSize::new(size)
}

/// The head of a journal of so many entries; `way` tells journals apart.
fn head(way: u8, entries: u64) -> TreeHead {
    (0..entries).map(|n| leaf_hash(&[way, n as u8])).collect::<Frontier>().head()
}

fn signed(log: &NoteSigner, head: TreeHead) -> SignedCheckpoint {
    SignedCheckpoint::sign(Checkpoint::new(Origin::from(log.name()), head).unwrap(), log)
}

fn cosigned(log: &NoteSigner, by: &Cosigner, head: TreeHead) -> Vec<u8> {
    let signed = signed(log, head);
    let line = by.cosign(signed.checkpoint(), start_of_day().into());
    signed.with_cosignature(line, &NoteVerifier::from(by)).unwrap().to_bytes()
}

fn frame(body: Body) -> Input {
    Input::Frame(pb::ExchangeFrame { body: Some(body) })
}

/// A checkpoint of our journal whose last entry was made when the day began.
fn checkpoint(note: Vec<u8>) -> Input {
    Input::Checkpoint { proof: Vec::new(), note, made_at: Some(start_of_day()) }
}

fn journal(entries: u64) -> JournalSize {
    JournalSize { size: size(entries), substance: size(entries) }
}

impl Scene {
    fn standing(&self, entries: u64) -> Standing {
        let witness = WitnessStanding {
            journal: journal(entries),
            every_ms: EVERY_MS,
            ..WitnessStanding::default()
        };
        Standing {
            published: size(0),
            receipted: size(0),
            partner_feed: Frontier::new(),
            receipt_note: Vec::new(),
            witness,
        }
    }

    fn session(&self, standing: Standing) -> Session {
        self.a.session(&self.b, standing).0
    }

    fn hello(&self) -> pb::Hello {
        pb::Hello { protocol: 1, agency: self.b.name.to_string(), ..pb::Hello::default() }
    }

    /// A session whose partner knows nothing of our journal of so many entries.
    fn running(&self, entries: u64) -> (Session, Vec<Output>) {
        let mut session = self.session(self.standing(entries));
        let out = session.handle(frame(Body::Hello(self.hello())), start_of_day());
        (session, out)
    }

    /// Returns the outputs of a session of a journal of 5 entries for this hello.
    fn told(&self, standing: Standing, hello: pb::Hello, root: Option<TreeHash>) -> Vec<Output> {
        let mut session = self.session(standing);
        let mut out = session.handle(frame(Body::Hello(hello)), start_of_day());
        if let [Output::AskJournalRoot(asked)] = out[..] {
            out = session.handle(Input::JournalRoot { size: asked, root }, start_of_day());
        }
        out
    }
}

fn evidence(out: &[Output]) -> &Evidence {
    match out {
        [.., Output::Close(Closing::Fault(Fault::Contradiction(evidence)))] => evidence,
        other => panic!("{other:?}"),
    }
}

fn sent(out: &[Output]) -> &Body {
    match out {
        [Output::Send(frame)] => frame.body.as_ref().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_partner_that_knows_nothing_is_asked_at_once_and_what_it_cosigns_is_kept() {
    let scene = scene();
    let (mut session, out) = scene.running(3);
    assert!(matches!(out[..], [Output::Assured, Output::LoadCheckpoint { old }] if old == size(0)));
    let note = signed(&scene.a.log, head(1, 3)).to_bytes();
    let out = session.handle(checkpoint(note), start_of_day());
    assert!(matches!(sent(&out), Body::AddCheckpoint(request) if request.old_size == 0));
    let note = cosigned(&scene.a.log, &scene.b.witness, head(1, 3));
    let answer = pb::CheckpointAnswer { note: note.clone().into(), known_size: 0 };
    let out = session.handle(frame(Body::CheckpointAnswer(answer)), start_of_day());
    assert!(matches!(&out[..], [Output::RecordCosignature { note: kept }] if *kept == note));
}

#[test]
fn cosignatures_alone_provoke_no_further_question() {
    let scene = scene();
    let (mut session, _) = scene.running(3);
    let note = signed(&scene.a.log, head(1, 3)).to_bytes();
    session.handle(checkpoint(note), start_of_day());
    let note = cosigned(&scene.a.log, &scene.b.witness, head(1, 3)).into();
    let answer = pb::CheckpointAnswer { note, known_size: 0 };
    session.handle(frame(Body::CheckpointAnswer(answer)), start_of_day());
    let grown = JournalSize { size: size(9), substance: size(3) };
    for minutes in 1..100 {
        let later = start_of_day().plus_ms(minutes * EVERY_MS);
        assert!(session.handle(Input::Journal(grown), later).is_empty());
    }
}

#[test]
fn a_partner_is_asked_no_more_often_than_the_pace_allows() {
    let scene = scene();
    let (mut session, _) = scene.running(1);
    let note = signed(&scene.a.log, head(1, 1)).to_bytes();
    session.handle(checkpoint(note), start_of_day());
    let note = cosigned(&scene.a.log, &scene.b.witness, head(1, 1)).into();
    let answer = pb::CheckpointAnswer { note, known_size: 0 };
    session.handle(frame(Body::CheckpointAnswer(answer)), start_of_day());
    let grown =
        |session: &mut Session, at: Timestamp| session.handle(Input::Journal(journal(5)), at);
    assert!(grown(&mut session, start_of_day().plus_ms(EVERY_MS - 1)).is_empty());
    let out = grown(&mut session, start_of_day().plus_ms(EVERY_MS));
    assert!(matches!(out[..], [Output::LoadCheckpoint { old }] if old == size(1)));
}

#[test]
fn a_size_that_the_witness_names_is_tried_once() {
    let scene = scene();
    let (mut session, _) = scene.running(5);
    let note = signed(&scene.a.log, head(1, 5)).to_bytes();
    let named = |known_size| {
        frame(Body::CheckpointAnswer(pb::CheckpointAnswer { known_size, ..Default::default() }))
    };
    session.handle(checkpoint(note.clone()), start_of_day());
    let out = session.handle(named(3), start_of_day());
    assert!(matches!(out[..], [Output::LoadCheckpoint { old }] if old == size(3)));
    session.handle(checkpoint(note), start_of_day());
    let out = session.handle(named(4), start_of_day());
    assert!(matches!(out[..], [Output::Alert(Alert::NotCosigned { .. })]));
}

#[test]
fn a_cosignature_dated_before_its_checkpoint_was_made_is_misbehaviour() {
    let scene = scene();
    for (early_ms, is_refused) in [(0, false), (1_000, true)] {
        let (mut session, _) = scene.running(3);
        let own = signed(&scene.a.log, head(1, 3));
        session.handle(checkpoint(own.to_bytes()), start_of_day());
        let at = start_of_day().plus_ms(-CLOCK_DIFFERENCE_MS_MAX - early_ms);
        let line = scene.b.witness.cosign(own.checkpoint(), at.into());
        let note = own.with_cosignature(line, &NoteVerifier::from(&scene.b.witness)).unwrap();
        let answer = pb::CheckpointAnswer { note: note.to_bytes().into(), known_size: 0 };
        let out = session.handle(frame(Body::CheckpointAnswer(answer)), start_of_day());
        let found = matches!(
            out[..],
            [Output::Close(Closing::Fault(Fault::PeerMisbehaved(Misbehaviour::SignedTime(
                ImpossibleTime::BeforeMade { .. }
            ))))]
        );
        assert_eq!(found, is_refused, "{out:?}");
    }
}

#[test]
fn a_cosignature_of_something_else_is_misbehaviour() {
    let scene = scene();
    for (note, what) in [
        (cosigned(&scene.a.log, &scene.b.witness, head(1, 2)), "another size"),
        (cosigned(&scene.b.log, &scene.b.witness, head(1, 3)), "another log"),
        (cosigned(&scene.a.log, &scene.a.witness, head(1, 3)), "another witness"),
        (cosigned(&scene.a.log, &scene.b.receipts, head(1, 3)), "a receipt"),
    ] {
        let (mut session, _) = scene.running(3);
        let own = signed(&scene.a.log, head(1, 3)).to_bytes();
        session.handle(checkpoint(own), start_of_day());
        let answer = pb::CheckpointAnswer { note: note.into(), known_size: 0 };
        let out = session.handle(frame(Body::CheckpointAnswer(answer)), start_of_day());
        let is_fault = matches!(
            out[..],
            [Output::Close(Closing::Fault(Fault::PeerMisbehaved(
                Misbehaviour::Answer(_) | Misbehaviour::AnswerSize { .. }
            )))]
        );
        assert!(is_fault, "{what}: {out:?}");
    }
}

#[test]
fn a_partner_that_cosigned_what_we_have_assures_us() {
    let scene = scene();
    let note = cosigned(&scene.a.log, &scene.b.witness, head(1, 3));
    let hello = pb::Hello { witnessed_note: note.into(), ..scene.hello() };
    let out = scene.told(scene.standing(5), hello, Some(head(1, 3).root));
    let asked =
        matches!(out[..], [Output::Assured, Output::LoadCheckpoint { old }] if old == size(3));
    assert!(asked, "{out:?}");
}

#[test]
fn a_partner_that_cosigned_more_than_we_have_shows_that_we_lost_entries() {
    let scene = scene();
    let hello = |head| {
        let note = cosigned(&scene.a.log, &scene.b.witness, head);
        pb::Hello { witnessed_note: note.into(), ..scene.hello() }
    };
    let out = scene.told(scene.standing(5), hello(head(1, 8)), None);
    assert!(matches!(evidence(&out), Evidence::OwnJournalRolledBack { own, .. } if own.get() == 5));
    let out = scene.told(scene.standing(5), hello(head(2, 3)), Some(head(1, 3).root));
    assert!(matches!(evidence(&out), Evidence::OwnJournalForked { .. }));
    assert!(evidence(&out).is_against_us());
}

#[test]
fn our_own_cosignature_or_receipt_that_we_do_not_know_shows_that_we_lost_entries() {
    let scene = scene();
    let note = cosigned(&scene.b.log, &scene.a.witness, head(3, 4));
    let hello = pb::Hello { cosigned_note: note.into(), ..scene.hello() };
    let mut standing = scene.standing(5);
    standing.witness.witnessed_note = cosigned(&scene.b.log, &scene.a.witness, head(3, 2));
    let out = scene.told(standing, hello, None);
    assert!(
        matches!(evidence(&out), Evidence::OwnCosignatureLost { known, .. } if known.get() == 2)
    );
    assert!(evidence(&out).is_against_us());

    let mut feed = Feed::new(&scene.b, &scene.a);
    feed.append_bytes(bytes::Bytes::from_static(b"entry"));
    feed.publish();
    let note = feed.receipt(&feed.heads[0].1, &scene.a.receipts);
    let hello = pb::Hello { receipted_note: note.into(), ..scene.hello() };
    let out = scene.told(scene.standing(5), hello, None);
    assert!(matches!(evidence(&out), Evidence::OwnReceiptLost { held, .. } if held.get() == 0));
    assert!(evidence(&out).is_against_us());
}

#[test]
fn a_cosignature_of_ours_with_another_root_accuses_the_partner() {
    let scene = scene();
    let note = cosigned(&scene.b.log, &scene.a.witness, head(4, 2));
    let hello = pb::Hello { cosigned_note: note.into(), ..scene.hello() };
    let mut standing = scene.standing(5);
    standing.witness.witnessed_note = cosigned(&scene.b.log, &scene.a.witness, head(3, 2));
    let out = scene.told(standing, hello, None);
    assert!(!evidence(&out).is_against_us());
}

#[test]
fn a_hello_with_notes_of_others_is_misbehaviour() {
    let scene = scene();
    let stranger = Agency::new(3);
    for hello in [
        pb::Hello {
            witnessed_note: cosigned(&stranger.log, &scene.b.witness, head(1, 3)).into(),
            ..scene.hello()
        },
        pb::Hello {
            cosigned_note: cosigned(&scene.b.log, &stranger.witness, head(1, 3)).into(),
            ..scene.hello()
        },
        pb::Hello { receipted_note: b"no note".to_vec().into(), ..scene.hello() },
    ] {
        let out = scene.told(scene.standing(5), hello, None);
        let closed = matches!(
            out[..],
            [Output::Close(Closing::Fault(Fault::PeerMisbehaved(
                Misbehaviour::HelloCosigned(_) | Misbehaviour::HelloOwnReceipt(_)
            )))]
        );
        assert!(closed, "{out:?}");
    }
}

#[test]
fn the_partners_checkpoint_goes_to_the_journal_and_its_word_comes_back() {
    let scene = scene();
    let request = pb::AddCheckpoint {
        old_size: 2,
        proof: vec![vec![7; 32].into()],
        note: b"a note".to_vec().into(),
    };
    let ask = || frame(Body::AddCheckpoint(request.clone()));
    let (mut session, _) = scene.running(0);
    let out = session.handle(ask(), start_of_day());
    assert!(matches!(&out[..], [Output::Witness(shown)] if shown.old == size(2)));
    let verdict = Witnessed::Cosigned(b"cosigned".to_vec());
    let out = session.handle(Input::Witnessed(verdict), start_of_day());
    assert!(matches!(sent(&out), Body::CheckpointAnswer(a) if &a.note[..] == b"cosigned"));
    session.handle(ask(), start_of_day());
    let refusal = WitnessRefusal::Conflict { old: size(2), known: size(4) };
    let out = session.handle(Input::Witnessed(Witnessed::Refused(refusal)), start_of_day());
    assert!(matches!(sent(&out), Body::CheckpointAnswer(answer) if answer.known_size == 4));
    session.handle(ask(), start_of_day());
    let refusal = WitnessRefusal::SameSize { shown: Box::new(signed(&scene.b.log, head(1, 2))) };
    let out = session.handle(Input::Witnessed(Witnessed::Refused(refusal)), start_of_day());
    assert!(!evidence(&out).is_against_us());
}

#[test]
fn a_second_checkpoint_before_the_answer_and_an_oversized_proof_are_misbehaviour() {
    let scene = scene();
    let ask = |proof: Vec<bytes::Bytes>| {
        frame(Body::AddCheckpoint(pb::AddCheckpoint { proof, ..Default::default() }))
    };
    let (mut session, _) = scene.running(0);
    session.handle(ask(Vec::new()), start_of_day());
    let hash = bytes::Bytes::from_static(&[7; 32]);
    for (session, input) in [
        (&mut session, ask(Vec::new())),
        (&mut scene.running(0).0, ask(vec![hash; 65])),
        (&mut scene.running(0).0, ask(vec![bytes::Bytes::from_static(b"short")])),
        (&mut scene.running(0).0, frame(Body::CheckpointAnswer(pb::CheckpointAnswer::default()))),
    ] {
        let out = session.handle(input, start_of_day());
        let closed = matches!(out[..], [Output::Close(Closing::Fault(Fault::PeerMisbehaved(_)))]);
        assert!(closed, "{out:?}");
    }
}

#[test]
fn nothing_that_came_is_checked_before_the_hello_held_against_our_history() {
    let scene = scene();
    let mut session = scene.session(scene.standing(5));
    let note = cosigned(&scene.a.log, &scene.b.witness, head(1, 3));
    let hello = pb::Hello { witnessed_note: note.into(), ..scene.hello() };
    session.handle(frame(Body::Hello(hello)), start_of_day());
    let mut feed = Feed::new(&scene.b, &scene.a);
    feed.append_bytes(bytes::Bytes::from_static(b"entry"));
    feed.publish();
    let batch = feed.batch(0, &feed.heads[0], |_| pb::Envelope::default());
    assert!(session.handle(frame(Body::FeedBatch(batch)), start_of_day()).is_empty());
    let root = Some(head(1, 3).root);
    let out = session.handle(Input::JournalRoot { size: size(3), root }, start_of_day());
    assert!(matches!(out[..], [Output::Assured, Output::Check { .. }, ..]), "{out:?}");
}

/// Returns a scene after the succession of our own logs, and the agency before it.
fn succeeded() -> (Scene, Agency) {
    let mut scene = scene();
    scene.a.succeed();
    (scene, Agency::new(1))
}

fn second(scene: &Scene) -> pb::Hello {
    pb::Hello { partner_generation: scene.a.generation.to_wire(), ..scene.hello() }
}

#[test]
fn what_was_cosigned_before_a_succession_and_lost_is_known_again() {
    let (scene, before) = succeeded();
    let note = cosigned(&scene.b.log, &before.witness, head(2, 7));
    let hello = pb::Hello { cosigned_note: note.clone().into(), ..second(&scene) };
    let out = scene.told(scene.standing(0), hello.clone(), None);
    assert!(
        matches!(&out[..], [Output::AdoptCosignature { note: kept }, Output::Assured] if *kept == note)
    );
    // Known by then, it is not news; and another branch is evidence against the log.
    let mut standing = scene.standing(0);
    standing.witness.witnessed_note = note;
    assert!(matches!(scene.told(standing.clone(), hello, None)[..], [Output::Assured]));
    let other = cosigned(&scene.b.log, &before.witness, head(3, 7));
    let hello = pb::Hello { cosigned_note: other.into(), ..second(&scene) };
    let out = scene.told(standing, hello, None);
    assert!(matches!(evidence(&out), Evidence::PartnerJournal(WitnessRefusal::SameSize { .. })));
}

#[test]
fn what_the_keys_in_force_signed_must_be_known_after_a_succession_too() {
    let (scene, _) = succeeded();
    let note = cosigned(&scene.b.log, &scene.a.witness, head(2, 7));
    let hello = pb::Hello { cosigned_note: note.into(), ..second(&scene) };
    let out = scene.told(scene.standing(0), hello, None);
    assert!(matches!(evidence(&out), Evidence::OwnCosignatureLost { .. }));
}

#[test]
fn a_receipt_of_before_a_succession_for_what_was_lost_lets_it_come_again() {
    let (scene, before) = succeeded();
    let mut feed = Feed::new(&scene.b, &scene.a);
    feed.append_bytes("1".into());
    feed.publish();
    let note = feed.receipt(&feed.heads[0].1, &before.receipts);
    let hello = pb::Hello { receipted: 1, receipted_note: note.clone().into(), ..second(&scene) };
    let out = scene.told(scene.standing(0), hello, None);
    let alert = Alert::OwnEntriesLost { receipted: size(1), held: size(0) };
    assert!(matches!(out[..], [Output::Alert(told), Output::Assured] if told == alert));
    // What is left is receipted again by the key in force.
    let pair = scene.a.pair_with(&scene.b);
    let again = pair.receipt_in_force(&note, &scene.a.receipts, start_of_day()).unwrap();
    assert_eq!(again, feed.receipt(&feed.heads[0].1, &scene.a.receipts));
    assert_eq!(pair.receipt_in_force(&again, &scene.a.receipts, start_of_day()), Ok(again));
}

#[test]
fn logs_of_a_generation_that_nobody_accepted_are_refused_on_either_side() {
    let scene = scene();
    let refused = |hello: pb::Hello| match &scene.told(scene.standing(0), hello, None)[..] {
        [Output::Close(Closing::Fault(Fault::PeerRefused(refusal)))] => refusal.clone(),
        other => panic!("{other:?}"),
    };
    let own = Generation::FIRST;
    assert_eq!(
        refused(pb::Hello { generation: 2, ..scene.hello() }),
        Refusal::Generation { found: 2, accepted: own }
    );
    assert_eq!(
        refused(pb::Hello { partner_generation: 2, ..scene.hello() }),
        Refusal::OwnGeneration { found: 2, own }
    );
}
