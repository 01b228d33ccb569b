//! The decision clock through steps, absences and the words of others.

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn start() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

/// The wall clock, off by some milliseconds, after a time in the process.
fn wall(elapsed_ms: i64, off_ms: i64) -> Reading {
    Reading { time: start().plus_ms(elapsed_ms + off_ms), elapsed_ms }
}

fn running() -> DecisionClock {
    let mut clock = DecisionClock::default();
    clock.read(wall(0, 0), start());
    assert_eq!(clock.doubt(), None);
    clock
}

#[test]
fn a_clock_that_goes_evenly_is_the_time() {
    let mut clock = running();
    assert_eq!(clock.read(wall(DAY, 0), start()), start().plus_ms(DAY));
    assert_eq!(clock.read(wall(DAY, STEP_MS_MAX), start()), start().plus_ms(DAY + STEP_MS_MAX));
    assert_eq!(clock.doubt(), None);
}

#[test]
fn a_step_is_not_believed_and_time_goes_on_evenly_until_the_clock_is_right_again() {
    for off in [90 * MINUTE, -90 * MINUTE, 2 * 365 * DAY, STEP_MS_MAX + 1] {
        let mut clock = running();
        let wrong = wall(MINUTE, off);
        assert_eq!(clock.read(wrong, start()), start().plus_ms(MINUTE));
        let expected = start().plus_ms(MINUTE);
        assert_eq!(clock.doubt(), Some(&Doubt::Step { wall: wrong.time, expected }));
        assert_eq!(clock.read(wall(HOUR, off), start()), start().plus_ms(HOUR));
        assert!(clock.doubt().is_some(), "it stays wrong");
        assert_eq!(clock.read(wall(HOUR, 0), start()), start().plus_ms(HOUR));
        assert_eq!(clock.doubt(), None);
    }
}

#[test]
fn small_steps_do_not_add_up() {
    let mut clock = running();
    for step in 1..=20 {
        clock.read(wall(step, step * MINUTE), start());
    }
    assert!(matches!(clock.doubt(), Some(Doubt::Step { .. })));
}

#[test]
fn a_step_that_a_partner_made_too_is_a_machine_that_slept() {
    let mut clock = running();
    clock.read(wall(MINUTE, 9 * HOUR), start());
    assert!(clock.doubt().is_some());
    clock.observe("jc3.or.jp", wall(MINUTE, 9 * HOUR));
    assert_eq!(
        clock.read(wall(2 * MINUTE, 9 * HOUR), start()),
        start().plus_ms(9 * HOUR + 2 * MINUTE)
    );
    assert_eq!(clock.doubt(), None);
}

#[test]
fn what_was_heard_before_a_step_does_not_support_it() {
    let mut clock = running();
    clock.observe("jc3.or.jp", wall(0, 3 * DAY));
    clock.read(wall(0, 0), start());
    clock.read(wall(MINUTE, 3 * DAY), start());
    assert!(matches!(clock.doubt(), Some(Doubt::Step { .. })), "{:?}", clock.doubt());
    clock.observe("jc3.or.jp", wall(MINUTE, 3 * DAY));
    clock.read(wall(MINUTE, 3 * DAY), start());
    assert_eq!(clock.doubt(), None);
}

#[test]
fn a_node_that_was_off_goes_on_by_itself_where_a_partner_agrees() {
    let floor = start().plus_ms(-365 * DAY);
    let mut clock = DecisionClock::default();
    assert_eq!(clock.read(wall(0, 0), floor), floor);
    assert_eq!(clock.doubt(), Some(&Doubt::Absence { wall: start(), floor }));
    clock.observe("jc3.or.jp", wall(0, -5_000));
    assert_eq!(clock.read(wall(0, 0), floor), start());
    assert_eq!(clock.doubt(), None);
}

#[test]
fn a_short_absence_needs_nobody_and_one_partner_can_contradict_it() {
    let floor = start().plus_ms(-90 * MINUTE);
    let mut clock = DecisionClock::default();
    assert_eq!(clock.read(wall(0, 0), floor), start());
    assert_eq!(clock.doubt(), None);
    clock.observe("jc3.or.jp", wall(0, -90 * MINUTE));
    clock.read(wall(0, 0), floor);
    assert!(matches!(clock.doubt(), Some(Doubt::Contradicted { .. })), "{:?}", clock.doubt());
}

#[test]
fn one_partner_with_a_wrong_clock_stops_nobody_whose_clock_goes_evenly() {
    let mut clock = running();
    clock.observe("jc3.or.jp", wall(0, 3 * DAY));
    assert_eq!(clock.read(wall(HOUR, 0), start()), start().plus_ms(HOUR));
    assert_eq!(clock.doubt(), None);
    clock.observe("cbi.gov.in", wall(0, 3 * DAY));
    clock.read(wall(HOUR, 0), start());
    assert!(matches!(clock.doubt(), Some(Doubt::Contradicted { .. })));
    clock.observe("afp.example", wall(0, 0));
    clock.observe("npa.example", wall(0, 0));
    clock.read(wall(HOUR, 0), start());
    assert_eq!(clock.doubt(), None, "as many agree");
}

#[test]
fn a_journal_a_little_ahead_gives_the_time_until_the_clock_catches_up() {
    let floor = start().plus_ms(90 * MINUTE);
    let mut clock = DecisionClock::default();
    assert_eq!(clock.read(wall(0, 0), floor), floor);
    assert_eq!(clock.doubt(), Some(&Doubt::Behind { wall: start(), floor }));
    clock.observe("jc3.or.jp", wall(0, 0));
    assert_eq!(clock.read(wall(0, 0), floor), floor);
    assert_eq!(clock.doubt(), None);
    assert_eq!(clock.read(wall(2 * HOUR, 0), floor), start().plus_ms(2 * HOUR));
}

#[test]
fn a_journal_far_ahead_goes_on_after_a_person_confirmed_the_clock() {
    let floor = start().plus_ms(2 * 365 * DAY);
    let mut clock = DecisionClock::default();
    clock.observe("jc3.or.jp", wall(0, 0));
    clock.read(wall(0, 0), floor);
    assert_eq!(clock.doubt(), Some(&Doubt::Lead { wall: start(), floor }));
    clock.confirm(wall(0, 0));
    assert_eq!(clock.read(wall(MINUTE, 0), floor), floor);
    assert_eq!(clock.doubt(), None);
}

#[test]
fn a_confirmed_clock_is_held_again_after_another_step() {
    let mut clock = running();
    clock.read(wall(0, 5 * HOUR), start());
    assert!(clock.doubt().is_some());
    clock.confirm(wall(0, 5 * HOUR));
    assert_eq!(clock.read(wall(MINUTE, 5 * HOUR), start()), start().plus_ms(5 * HOUR + MINUTE));
    clock.read(wall(MINUTE, 9 * HOUR), start());
    assert!(matches!(clock.doubt(), Some(Doubt::Step { .. })));
}

#[test]
fn nothing_is_vouched_for_without_others_in_doubt_or_against_others() {
    let mut clock = running();
    assert_eq!(clock.vouched(wall(0, 0), None), None);
    let signed = start().plus_ms(-DAY);
    assert_eq!(clock.vouched(wall(0, 0), Some(signed)), Some(signed));
    clock.observe("jc3.or.jp", wall(0, -MINUTE));
    let later = start().plus_ms(HOUR - MINUTE);
    assert_eq!(clock.vouched(wall(HOUR, 0), Some(signed)), Some(later));
    clock.read(wall(HOUR, 3 * HOUR), start());
    assert_eq!(clock.vouched(wall(HOUR, 3 * HOUR), Some(signed)), None, "in doubt");
    clock.read(wall(HOUR, 0), start());
    clock.observe("jc3.or.jp", wall(0, -DAY));
    assert_eq!(clock.vouched(wall(HOUR, 0), Some(signed)), None, "contradicted");
}

#[test]
fn an_old_signed_time_never_sets_another_back_and_a_later_one_does_set_it_forward() {
    let mut clock = running();
    clock.observe_signed("jc3.or.jp", wall(0, 0));
    assert_eq!(clock.support(wall(0, 0)), Support::default(), "not without a time of now");
    clock.observe("jc3.or.jp", wall(0, 0));
    clock.observe_signed("jc3.or.jp", wall(HOUR, -HOUR));
    assert_eq!(clock.support(wall(HOUR, 0)).agreeing, ["jc3.or.jp"]);
    clock.observe_signed("jc3.or.jp", wall(HOUR, DAY));
    assert_eq!(clock.support(wall(HOUR, 0)).contradicting.len(), 1);
    clock.retain(|_| false);
    assert_eq!(clock.support(wall(HOUR, 0)), Support::default());
}
