//! The time of decisions: from the journal, the wall clock, and the signed times of others.
//!
//! A wall clock may be set wrong, and what is signed or erased by a wrong time cannot be taken back.
//! So it is believed within bounds only: against a monotonic clock while the process runs, against
//! the journal at the start, and against the times of partners and witnesses. Where it is not
//! believed, nothing is signed. Nothing here reads a clock.

use crate::ident::Timestamp;
use std::collections::BTreeMap;

/// The greatest step of the wall clock that is believed on its own, and the greatest difference from
/// another's time that agrees with it. A synchronised clock steps by less than a second, people who
/// set one by hand hit the minute; an hour is the unit of policy.
pub const STEP_MS_MAX: i64 = 10 * 60_000;

/// The longest time that a node may have been off and start without the support of another's time:
/// longer than any closed season.
pub const ABSENCE_MS_MAX: i64 = 30 * 24 * 3_600_000;

/// The furthest that the journal may be ahead of a wall clock that others support; also the bound for
/// cards from the future. Until the wall clock catches up, all that is decided has the journal's last
/// time.
pub const LEAD_MS_MAX: i64 = 24 * 3_600_000;

/// Others that must contradict a clock without a step or an absence: one may have a wrong clock.
const CONTRADICTING_MIN: usize = 2;

/// The wall clock, or another's time, and the monotonic time when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub time: Timestamp,
    /// Milliseconds since the start of the process.
    pub elapsed_ms: i64,
}

impl Reading {
    /// The time that it has become by a later monotonic time.
    fn carried_to(self, elapsed_ms: i64) -> Timestamp {
        self.time.plus_ms(elapsed_ms.saturating_sub(self.elapsed_ms).max(0))
    }
}

/// The reason why the wall clock is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    #[error("the wall clock reads {wall} and would read {expected} had it gone on evenly")]
    Step { wall: Timestamp, expected: Timestamp },
    #[error("the wall clock reads {wall}, which is before {floor}, when this node last signed")]
    Behind { wall: Timestamp, floor: Timestamp },
    #[error(
        "the wall clock reads {wall}, more than 30 days after {floor}, when this node last signed, \
         and no partner's time supports it"
    )]
    Absence { wall: Timestamp, floor: Timestamp },
    #[error(
        "the journal ends at {floor}, more than a day after the wall clock, which reads {wall}"
    )]
    Lead { wall: Timestamp, floor: Timestamp },
    #[error("the wall clock reads {wall}; the time of {other} is {time}, and none supports ours")]
    Contradicted { wall: Timestamp, other: String, time: Timestamp },
}

/// The clocks of others that agree with the wall clock, and those that contradict it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Support {
    pub agreeing: Vec<String>,
    /// With the time that each has by now.
    pub contradicting: Vec<(String, Timestamp)>,
}

impl Support {
    const fn is_given(&self) -> bool {
        !self.agreeing.is_empty() && self.agreeing.len() >= self.contradicting.len()
    }

    const fn is_denied(&self) -> bool {
        self.contradicting.len() > self.agreeing.len()
    }
}

/// Decides which time it is.
#[derive(Debug, Clone, Default)]
pub struct DecisionClock {
    /// The wall clock when it was last checked: at the start, with support, or by a person.
    anchor: Option<Reading>,
    others: BTreeMap<String, Reading>,
    /// The start followed an absence, and nobody's time has supported the clock since.
    is_unsupported: bool,
    /// A person confirmed the clock against what is left of a doubt.
    confirmed: Option<Reading>,
    doubt: Option<Doubt>,
}

impl DecisionClock {
    /// Takes another's time as it is now.
    pub fn observe(&mut self, other: &str, reading: Reading) {
        self.others.insert(other.to_owned(), reading);
    }

    /// Takes a time under another's signature, which may be old: the other's clock is not behind it.
    pub fn observe_signed(&mut self, other: &str, reading: Reading) {
        let known = self.others.get(other).map(|known| known.carried_to(reading.elapsed_ms));
        if known.is_some_and(|known| known < reading.time) {
            self.observe(other, reading);
        }
    }

    /// Forgets another that is a partner no more.
    pub fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.others.retain(|other, _| is_known(other));
    }

    /// Believes the wall clock as it reads, on the word of a person with a clock of their own.
    pub fn confirm(&mut self, wall: Reading) {
        self.anchor = Some(wall);
        self.confirmed = Some(wall);
        self.is_unsupported = false;
    }

    /// The time of decisions. `floor` is the time that this node last signed under: of the journal's
    /// last entry, and of its card.
    pub fn read(&mut self, wall: Reading, floor: Timestamp) -> Timestamp {
        self.doubt = self.judge(wall, floor).err();
        let believed = match (&self.doubt, self.anchor) {
            (None, _) => wall.time,
            (Some(_), Some(anchor)) => anchor.carried_to(wall.elapsed_ms),
            (Some(_), None) => floor,
        };
        believed.max(floor)
    }

    /// Returns the reason why the wall clock was not believed when it was last read.
    pub const fn doubt(&self) -> Option<&Doubt> {
        self.doubt.as_ref()
    }

    /// Sorts the clocks of others into those that agree with the wall clock and those that
    /// contradict it.
    pub fn support(&self, wall: Reading) -> Support {
        let mut support = Support::default();
        for (name, other) in &self.others {
            let time = other.carried_to(wall.elapsed_ms);
            if difference_ms(wall.time, time).abs() <= STEP_MS_MAX {
                support.agreeing.push(name.clone());
            } else {
                support.contradicting.push((name.clone(), time));
            }
        }
        support
    }

    /// The latest time that somebody else vouches for, or a person at this node: what must have ended
    /// before anything is erased. `signed` is the latest time under a signature in the journal.
    pub fn vouched(&self, wall: Reading, signed: Option<Timestamp>) -> Option<Timestamp> {
        if self.doubt.is_some() || self.support(wall).is_denied() {
            return None;
        }
        let others = self.others.values().chain(&self.confirmed);
        others.map(|other| other.carried_to(wall.elapsed_ms)).chain(signed).max()
    }

    fn judge(&mut self, wall: Reading, floor: Timestamp) -> Result<(), Doubt> {
        let time = wall.time;
        let expected = self.anchor.map(|anchor| anchor.carried_to(wall.elapsed_ms));
        let has_stepped =
            expected.is_some_and(|expected| difference_ms(time, expected).abs() > STEP_MS_MAX);
        if has_stepped && !matches!(self.doubt, Some(Doubt::Step { .. })) {
            // What was heard before may have come from a clock that was as wrong as this one is now.
            self.others.clear();
        }
        let support = self.support(wall);
        if let Some(expected) = expected {
            if has_stepped {
                if !support.is_given() {
                    return Err(Doubt::Step { wall: time, expected });
                }
                self.confirmed = None;
            }
        } else if !support.is_given() {
            if difference_ms(floor, time) > STEP_MS_MAX {
                return Err(Doubt::Behind { wall: time, floor });
            }
            if difference_ms(time, floor) > ABSENCE_MS_MAX {
                return Err(Doubt::Absence { wall: time, floor });
            }
            self.is_unsupported = difference_ms(time, floor) > STEP_MS_MAX;
        }
        if self.confirmed.is_none() {
            if difference_ms(floor, time) > LEAD_MS_MAX {
                return Err(Doubt::Lead { wall: time, floor });
            }
            let min = if self.is_unsupported { 1 } else { CONTRADICTING_MIN };
            if support.is_denied() && support.contradicting.len() >= min {
                let (other, said) = support.contradicting[0].clone();
                return Err(Doubt::Contradicted { wall: time, other, time: said });
            }
        }
        if support.is_given() {
            self.is_unsupported = false;
        }
        if support.is_given() || self.anchor.is_none() {
            self.anchor = Some(wall);
        }
        Ok(())
    }
}

fn difference_ms(later: Timestamp, earlier: Timestamp) -> i64 {
    later.unix_ms() - earlier.unix_ms()
}

#[cfg(test)]
mod tests;
