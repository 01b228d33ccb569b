//! The counts of a comparison are those of Cedar's decisions, however the records are divided up.

use super::*;
use crate::testkit::policy::{
    OWN, SAMPLE, agency, any_partner, any_record, hour, load, partner, record,
};
use proptest::prelude::*;

const MORE: &str = r#"
@id("x/more") @title("t") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action in Liaison::Action::"release", resource)
when { resource.tlp == Liaison::Tlp::"CLEAR" };

@id("x/notes") @title("t") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action == Liaison::Action::"reveal:notes", resource)
when { principal.client || resource.confidence > 50 };
"#;

fn compiled(text: &str) -> Compiled {
    Compiled::new(Arc::new(load(text).unwrap()), agency(OWN), [])
}

fn seen(n: u64, facts: &RecordFacts) -> Seen {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Seen { journal_index: n, id: RecordId::from_bytes(id), facts: facts.clone() }
}

fn tally(
    bundles: &[Compiled; 2],
    partners: &[PartnerFacts],
    records: impl IntoIterator<Item = (u64, RecordFacts)>,
) -> (Tally, Vec<ClassSet>) {
    let [before, after] = bundles;
    let mut comparer = Comparer::new(before, after, partners, &hour(0));
    let mut tally = Tally::new(partners.len());
    for (n, facts) in records {
        let answers = comparer.ask(&facts);
        tally.records += 1;
        if tally.concerns(&answers, &[]) {
            tally.take(&seen(n, &facts), &answers, &[]);
        }
    }
    (tally, comparer.may_reveal())
}

fn difference<'a>(
    bundles: &'a [Compiled; 2],
    partners: &'a [PartnerFacts],
    records: &[RecordFacts],
) -> Difference<'a> {
    let (tally, may_reveal) = tally(bundles, partners, (0..).zip(records.iter().cloned()));
    let [before, after] = bundles;
    Difference::new(before.bundle(), after.bundle(), partners, tally, &may_reveal)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_counted_is_what_cedar_decides(
        partners in prop::collection::vec(any_partner(), 1..4),
        records in prop::collection::vec(any_record(), 1..24),
        swapped in any::<bool>(),
    ) {
        let mut texts = [SAMPLE.to_owned(), format!("{SAMPLE}{MORE}")];
        if swapped {
            texts.swap(0, 1);
        }
        let bundles = texts.map(|text| compiled(&text));
        let (counted, _) = tally(&bundles, &partners, (0..).zip(records.iter().cloned()));
        for (partner, counted) in partners.iter().zip(&counted.partners) {
            let (mut shown, mut hidden, mut had) = (0, 0, ClassSet::EMPTY);
            let mut revealed = [0; SlotClass::SENSITIVE.len()];
            for facts in &records {
                let [was, is] = bundles.each_ref().map(|b| b.decide(partner, facts, &hour(0)));
                let follows = facts.kind == Kind::Withdrawal;
                shown += u64::from(!follows && is.release.allowed && !was.release.allowed);
                hidden += u64::from(!follows && !is.release.allowed && was.release.allowed);
                for (at, class) in SlotClass::SENSITIVE.into_iter().enumerate() {
                    let slots = facts.kind.slots_of(ClassSet::EMPTY.with(class));
                    let [was, is] = [&was, &is].map(|d| d.revealed.contains(class));
                    if !slots.is_empty() {
                        revealed[at] += u64::from(is && !was);
                        had = if was { had.with(class) } else { had };
                    }
                }
            }
            prop_assert_eq!((counted.shown.records, counted.hidden.records), (shown, hidden));
            prop_assert_eq!(counted.revealed.each_ref().map(|c| c.records), revealed);
            prop_assert_eq!(counted.had, had);
        }
    }

    #[test]
    fn two_halves_add_up_to_the_whole_in_any_order(
        partner in any_partner(),
        records in prop::collection::vec(any_record(), 0..24),
        at in 0_usize..24,
        swapped in any::<bool>(),
    ) {
        let bundles = [SAMPLE.to_owned(), format!("{SAMPLE}{MORE}")].map(|text| compiled(&text));
        let partners = [partner];
        let numbered: Vec<_> = (0..).zip(records).collect();
        let (one, other) = numbered.split_at(at.min(numbered.len()));
        let (whole, _) = tally(&bundles, &partners, numbered.clone());
        let mut halves = [one, other].map(|half| tally(&bundles, &partners, half.to_vec()).0);
        if swapped {
            halves.swap(0, 1);
        }
        let [mut sum, rest] = halves;
        sum.merge(rest);
        prop_assert_eq!(format!("{whole:?}"), format!("{sum:?}"));
    }
}

fn case(notes_to_client: bool) -> PartnerFacts {
    PartnerFacts { client: notes_to_client, ..partner() }
}

/// Records of a kind that has notes, our own, TLP:CLEAR.
fn indicators(count: u8) -> Vec<RecordFacts> {
    (0..count).map(|n| RecordFacts { confidence: n, ..record() }).collect()
}

const SHARE: &str = r#"@id("a/share") @title("Everything goes") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource)
when { resource.confidence >= 2 };
"#;
const NOTES: &str = r#"@id("a/notes") @title("t") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action == Liaison::Action::"reveal:notes", resource)
when { principal.client };
"#;

/// The same policy for records without personal data.
fn excepting_personal_data() -> String {
    SHARE.replace(" };", " } unless { resource.personal_data };")
}

#[test]
fn newly_shown_records_are_counted_by_kind_marking_and_personal_data_with_the_policy() {
    let bundles = [compiled(""), compiled(SHARE)];
    let partners = [case(false)];
    let mut records = indicators(6);
    records[3].personal_data = true;
    records[3].jurisdictions = vec!["FR".to_owned()];
    let found = difference(&bundles, &partners, &records);
    assert_eq!((found.change(), found.totals()), (PolicyChange::Revealing, (4, 0)));
    let wire = found.to_wire(&bundles[0], &bundles[1], &hour(0)).unwrap();
    let shown = wire.partners[0].shown.clone().unwrap();
    assert_eq!((shown.records, shown.personal_data), (4, 1));
    assert_eq!((shown.kinds[0].name.as_str(), shown.kinds[0].count), ("indicator", 4));
    assert_eq!((shown.tlp[0].name.as_str(), shown.tlp[0].count), ("CLEAR", 4));
    assert_eq!(shown.samples.len(), SAMPLES_MAX);
    assert_eq!(shown.samples[0].record_id[..8], 2_u64.to_be_bytes());
    assert_eq!(shown.samples[0].policies, ["a/share"]);
    assert!(shown.samples[0].policies_before.is_empty());
    assert_eq!(wire.statements[0].place, "0.cedar:1");
}

#[test]
fn newly_hidden_records_name_what_showed_them_and_what_forbids_them() {
    let forbid = r#"@id("a/stop") @title("t")
forbid (principal is Liaison::Partner, action, resource) when { resource.confidence == 3 };"#;
    let bundles = [compiled(SHARE), compiled(&format!("{SHARE}{forbid}"))];
    let partners = [case(false)];
    let found = difference(&bundles, &partners, &indicators(6));
    assert_eq!((found.change(), found.totals()), (PolicyChange::Narrowing, (0, 1)));
    let wire = found.to_wire(&bundles[0], &bundles[1], &hour(0)).unwrap();
    let hidden = wire.partners[0].hidden.clone().unwrap();
    assert_eq!(hidden.samples[0].policies, ["a/stop"]);
    assert_eq!(hidden.samples[0].policies_before, ["a/share"]);
    assert!(found.extent() == Extent::default());
}

#[test]
fn a_class_that_the_partner_was_shown_none_of_reveals_and_another_record_of_it_widens() {
    let share = excepting_personal_data();
    let all = share.replace(">= 2", ">= 0");
    let both = format!("{share}{NOTES}");
    let partners = [case(true)];
    // No record is newly shown, and the notes of all of them are.
    let bundles = [compiled(&share), compiled(&both)];
    let found = difference(&bundles, &partners, &indicators(6));
    assert_eq!((found.change(), found.totals()), (PolicyChange::Revealing, (0, 0)));
    assert_eq!(found.partners[0].first_revealed(), ClassSet::EMPTY.with(SlotClass::Notes));
    // Two more records with their notes, by a permit that speaks of no class.
    let bundles = [compiled(&both), compiled(&format!("{all}{NOTES}"))];
    let found = difference(&bundles, &partners, &indicators(6));
    assert_eq!((found.change(), found.totals()), (PolicyChange::Widening, (2, 0)));
    assert_eq!(found.partners[0].tally.revealed_classes(), ClassSet::EMPTY.with(SlotClass::Notes));
}

#[test]
fn a_permit_reveals_if_the_first_records_to_come_would_show_a_class() {
    let (reveal_only, share) = (compiled(NOTES), excepting_personal_data());
    let bundles = [reveal_only, compiled(&format!("{share}{NOTES}"))];
    let no_records = |partners: &[PartnerFacts]| difference(&bundles, partners, &[]).change();
    assert_eq!(no_records(&[case(true)]), PolicyChange::Revealing);
    // The condition fails for this partner whatever the record.
    assert_eq!(no_records(&[case(false)]), PolicyChange::Widening);
}

#[test]
fn a_partner_is_not_counted_for_what_never_goes_to_it() {
    let bundles = [compiled(""), compiled(SHARE)];
    let partners = [case(false), PartnerFacts { agency: agency("b.example"), ..partner() }];
    let mut comparer = Comparer::new(&bundles[0], &bundles[1], &partners, &hour(0));
    let mut tally = Tally::new(2);
    let answers = comparer.ask(&record());
    assert!(!tally.concerns(&answers, &[0, 1]) && tally.concerns(&answers, &[0]));
    tally.take(&seen(1, &record()), &answers, &[0]);
    let shown: Vec<_> = tally.partners.iter().map(|partner| partner.shown.records).collect();
    assert_eq!(shown, [0, 1]);
}

#[test]
fn more_of_what_was_approved_is_within_it_and_another_partner_class_or_person_is_not() {
    let extent = |shown: Shown| Extent([(agency("a.example"), shown)].into());
    let approved = extent(Shown {
        records: true,
        personal_data: false,
        classes: ClassSet::EMPTY.with(SlotClass::Notes),
    });
    assert_eq!(approved.beyond(&approved), None);
    assert_eq!(Extent::default().beyond(&approved), None);
    let beyond = |shown| extent(shown).beyond(&approved);
    let one = Shown { records: true, ..Shown::default() };
    assert_eq!(beyond(one), None);
    assert_eq!(
        beyond(Shown { personal_data: true, ..one }).unwrap(),
        "records with personal data for a.example"
    );
    let victim = Shown { classes: ClassSet::EMPTY.with(SlotClass::Victim), ..one };
    assert_eq!(beyond(victim).unwrap(), "fields of class victim for a.example");
    let elsewhere = Extent([(agency("b.example"), one)].into());
    assert_eq!(elsewhere.beyond(&approved).unwrap(), "records for b.example");
    let only_class = Shown { classes: ClassSet::EMPTY.with(SlotClass::Notes), ..Shown::default() };
    assert!(extent(one).beyond(&extent(only_class)).is_some());
}

#[test]
fn what_was_approved_is_read_back_from_what_was_shown() {
    let bundles = [compiled(""), compiled(&format!("{SHARE}{NOTES}"))];
    let partners = [case(true), PartnerFacts { agency: agency("b.example"), ..case(false) }];
    let mut records = indicators(6);
    records[3].personal_data = true;
    records[3].jurisdictions = vec!["FR".to_owned()];
    let found = difference(&bundles, &partners, &records);
    let mut wire = found.to_wire(&bundles[0], &bundles[1], &hour(0)).unwrap();
    assert_eq!(Extent::try_from(&wire), Ok(found.extent()));
    assert_eq!(found.extent().summary(), (2, ClassSet::EMPTY.with(SlotClass::Notes)));
    let counts = found.counts(1);
    assert_eq!((counts.len(), counts[0].newly_shown), (1, 4));
    wire.partners[0].agency = "no name".to_owned();
    assert!(Extent::try_from(&wire).is_err());
}

#[test]
fn the_first_records_are_the_samples_in_whatever_order_they_are_met() {
    let counted = |numbers: &[u64]| {
        let mut count = Count::default();
        numbers.iter().for_each(|n| count.add(&seen(*n, &record())));
        count
    };
    let samples =
        |count: &Count| count.samples.iter().map(|seen| seen.journal_index).collect::<Vec<_>>();
    for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [4, 5, 1, 3, 2]] {
        assert_eq!(samples(&counted(&order)), [1, 2, 3]);
    }
    let mut sum = counted(&[7, 2, 9]);
    sum.merge(counted(&[8, 1, 3, 4]));
    assert_eq!((samples(&sum), sum.records), (vec![1, 2, 3], 7));
}

#[test]
fn answers_are_remembered_up_to_a_bound() {
    let bundles = [compiled(""), compiled(SHARE)];
    let comparer = |partners: usize| {
        let partners = vec![partner(); partners];
        Comparer::new(&bundles[0], &bundles[1], &partners, &hour(0))
    };
    assert_eq!([0, 1, 2].map(|n| comparer(n).known_max), [FACTS_MAX; 3]);
    let mut comparer = comparer(1);
    comparer.known_max = 2;
    let mut remembered = Vec::new();
    for facts in indicators(5) {
        for _ in 0..2 {
            let answer = comparer.ask(&facts)[0];
            assert_eq!(answer.is.contains(SlotClass::Core), facts.confidence >= 2);
        }
        remembered.push(comparer.known.len());
    }
    assert_eq!(remembered, [1, 2, 1, 2, 1]);
}

#[test]
fn what_erred_is_counted_and_an_answer_that_changes_nothing_is_not_looked_at() {
    let mut tally = Tally::new(1);
    let same = Answer { was: ClassSet::CORE, is: ClassSet::CORE, erred: false };
    assert!(!tally.concerns(&[same], &[]));
    let erred = Answer { erred: true, ..Answer::default() };
    assert!(tally.concerns(&[erred], &[]));
    for n in 1..=2 {
        tally.take(&seen(n, &record()), &[erred], &[]);
        assert_eq!(tally.partners[0].erred, n);
    }
    let mut sum = tally.clone();
    sum.records = 2;
    sum.take(&seen(3, &record()), &[erred], &[]);
    sum.merge(Tally { records: 3, ..tally });
    assert_eq!((sum.partners[0].erred, sum.records), (5, 5));
    // A partner for whom policies can't be evaluated is told of, whatever else changes.
    let bundles = [compiled(""), compiled("")];
    let partners = [partner()];
    let [before, after] = bundles.each_ref().map(Compiled::bundle);
    let found = Difference::new(before, after, &partners, sum, &[ClassSet::EMPTY]);
    assert_eq!((found.partners.len(), found.change()), (1, PolicyChange::Narrowing));
}

/// The answer for a class shown before must be counted, or its first new record would not be
/// reported.
#[test]
fn a_class_that_was_shown_is_looked_at_once() {
    let notes = ClassSet::CORE.with(SlotClass::Notes);
    let same = [Answer { was: notes, is: notes, erred: false }];
    let mut tally = Tally::new(1);
    assert!(tally.concerns(&same, &[]));
    tally.take(&seen(1, &record()), &same, &[]);
    assert!(!tally.concerns(&same, &[]));
    assert_eq!(tally.partners[0].had, ClassSet::EMPTY.with(SlotClass::Notes));
}

#[test]
fn only_partners_for_whom_something_changes_are_told_of() {
    let suspended = PartnerFacts { suspended: true, agency: agency("b.example"), ..partner() };
    let partners = [case(false), suspended];
    for (before, after) in [("", SHARE), (SHARE, "")] {
        let bundles = [before, after].map(compiled);
        let found = difference(&bundles, &partners, &indicators(4));
        let told: Vec<_> =
            found.partners.iter().map(|change| change.facts.agency.as_str()).collect();
        assert_eq!(told, ["cert.example"]);
    }
}

#[test]
fn what_a_bundle_does_for_a_partner_is_the_most_that_was_counted() {
    use PolicyChange::{Narrowing, Revealing, Widening};
    let (facts, notes) = (partner(), ClassSet::EMPTY.with(SlotClass::Notes));
    let tallied = |had: ClassSet, was: ClassSet, is: ClassSet| {
        let mut tally = PartnerTally { had, ..PartnerTally::default() };
        tally.take(&seen(1, &record()), &Answer { was, is, erred: false });
        tally
    };
    let change = |tally, may_reveal| PartnerChange { facts: &facts, tally, may_reveal }.change();
    let (core, all) = (ClassSet::CORE, ClassSet::CORE.union(notes));
    for (had, was, is, expected) in [
        (ClassSet::EMPTY, core, core, Narrowing),
        (notes, all, ClassSet::EMPTY, Narrowing),
        (notes, all, core, Narrowing),
        (ClassSet::EMPTY, ClassSet::EMPTY, core, Widening),
        (notes, core, all, Widening),
        (notes, ClassSet::EMPTY, all, Widening),
        (ClassSet::EMPTY, core, all, Revealing),
    ] {
        assert_eq!(change(tallied(had, was, is), ClassSet::EMPTY), expected, "{was:?} {is:?}");
        assert_eq!(change(tallied(had, was, is), notes), Revealing);
    }
}

#[test]
fn a_class_of_a_record_with_personal_data_is_personal_data_newly_shown() {
    let bundles = [compiled(SHARE), compiled(&format!("{SHARE}{NOTES}"))];
    let personal = |personal_data| RecordFacts {
        personal_data,
        jurisdictions: vec!["FR".to_owned()],
        ..record()
    };
    for personal_data in [false, true] {
        let partners = [case(true)];
        let extent = difference(&bundles, &partners, &[personal(personal_data)]).extent();
        let classes = ClassSet::EMPTY.with(SlotClass::Notes);
        let shown = Shown { records: false, personal_data, classes };
        assert_eq!(extent, Extent([(agency("cert.example"), shown)].into()));
    }
}
