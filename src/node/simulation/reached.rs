//! The situations that the runs are for, and how often they were reached.

use std::collections::BTreeMap;

macro_rules! situations {
    ($($situation:ident,)*) => {
        /// A situation that some run must get into.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Situation {
            $($situation,)*
        }

        impl Situation {
            const ALL: &[Self] = &[$(Self::$situation,)*];
        }
    };
}

situations! {
// Streams and the network.
    ReceiptsCaughtUp,
    BatchRepeated,
    StreamEndedByTampering,
    StreamDrained,
    StreamRenewedAfterErasure,
    BatchLostInACrash,
    TornTailCut,
    IndexMadeAnew,
    // Disclosure.
    WithheldAtSending,
    RescanStep,
    StepOvertaken,
    TakenBack,
    TakenBackInPart,
    ShownAgain,
    SentAgain,
    OfferedAgain,
    TakenAfterRefusal,
    ShownInPart,
    OpinionShown,
    OpinionWithheld,
    Forwarded,
    ConsentUsed,
    PassedInACircle,
    RosterFollowed,
    Withdrawn,
    OutOfUse,
    HeldByTheBrake,
    ReleasedByPersons,
    RefusedByPersons,
    // Old copies, and logs that are succeeded.
    Cosigned,
    Restored,
    FoundBehind,
    TailLost,
    Succeeded,
    TwoHistories,
    StartedUnanswered,
    RefusedUnaccepted,
    CosignatureAdopted,
    ReceiptLost,
    // Duties.
    NotTaken,
    DutyForged,
    ForgedOfGiven,
    ErasureOrdered,
    ErasureDeferred,
    OrderWaits,
    ErasedAfterAHold,
    ErasureReported,
    ErasedOverHops,
    MarkedErased,
    MarkOpened,
    ClaimOpened,
    DenialContradicted,
}

#[derive(Default, Debug)]
pub(super) struct Reached(BTreeMap<Situation, usize>);

impl Reached {
    pub(super) fn add(&mut self, situation: Situation, times: usize) {
        *self.0.entry(situation).or_default() += times;
    }

    pub(super) fn once(&mut self, situation: Situation) {
        self.add(situation, 1);
    }

    /// Adds what other runs reached.
    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(situation, times)| self.add(situation, times));
    }

    /// Returns the situations that so many runs must reach and did not.
    pub(super) fn below(&self, runs: u64) -> Vec<Situation> {
        let is_wanted = |of: &Situation| runs >= of.runs_at_least();
        let is_reached = |of: &Situation| self.0.get(of).is_some_and(|times| *times > 0);
        let wanted = Situation::ALL.iter().copied().filter(is_wanted);
        wanted.filter(|of| !is_reached(of)).collect()
    }
}

/// Runs that reach every situation but the rarest.
const RUNS: u64 = 250;
/// Runs that reach those too: several unlikely things must come together for them.
const RUNS_FOR_RAREST: u64 = 2_000;

impl Situation {
    /// Returns the number of runs that must reach it.
    const fn runs_at_least(self) -> u64 {
        match self {
            Self::TwoHistories | Self::StartedUnanswered | Self::ClaimOpened => RUNS_FOR_RAREST,
            _ => RUNS,
        }
    }
}
