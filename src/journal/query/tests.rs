//! Queries over a real journal; above all: the index chosen never changes the answer.

use super::candidates::{Candidates, Gather};
use super::fixtures::{DAY, DAY_MS, Journal, OTHER, OWN, action, case, indicator, note, takedown};
use super::{CaseSelector, Filter, FilterError, Page, record_view};
use crate::ident::{RecordId, SeriesId};
use crate::journal::search;
use crate::journal::view::{Kept, View};
use crate::pb;
use crate::policy::{ClientRole, Visibility};
use crate::record::content::Content;
use crate::record::kind::Kind;
use crate::store::KeyRange;
use crate::value::{Value, ValueType};
use pb::QueryRecordsRequest as Query;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// All matches, newest first, page by page.
fn ask(view: &View, query: &Query) -> Vec<u64> {
    let filter = Filter::try_from(query).unwrap();
    let page = Page::parse(query).unwrap();
    let (mut found, mut below) = (Vec::new(), page.before);
    loop {
        let step = view.search_step(&filter, below, page.size).unwrap();
        found.extend(step.hits.iter().map(|hit| hit.kept.journal_index));
        match step.resume {
            Some(resume) => below = resume,
            None => return found,
        }
    }
}

fn ids(view: &View, query: &Query) -> Vec<RecordId> {
    let found = ask(view, query).into_iter();
    found.map(|index| view.accepted_at(index).unwrap().unwrap().record.id()).collect()
}

fn value(text: &str) -> Query {
    Query { value: text.into(), ..Query::default() }
}

/// The sight of an analyst who submitted nothing.
fn analyst() -> Visibility {
    Visibility::new(ClientRole::Analyst, "tanaka")
}

#[test]
fn a_value_is_found_as_people_write_it_and_whatever_its_type() {
    let mut journal = Journal::new();
    let url = journal.add(OWN, indicator("https://evil.example/a", "", &[]), DAY);
    let mut handle = indicator("upi:victim@okbank", "", &[]);
    if let Some(pb::draft::Content::Indicator(m)) = &mut handle.content {
        m.r#type = i32::from(ValueType::PaymentHandle.number());
    }
    handle.marking.as_mut().unwrap().personal_data = true;
    let handle = journal.add(OWN, handle, DAY);
    assert_eq!(ids(journal.view(), &value("hxxps://evil[.]example/a")), [url.id()]);
    assert_eq!(ids(journal.view(), &value("upi:victim@okbank")), [handle.id()]);
    assert!(ids(journal.view(), &value("evil.example")).is_empty());
    let refused = Filter::try_from(&value("\u{202e}"));
    assert!(matches!(refused, Err(FilterError::Value(_))), "{refused:?}");
}

#[test]
fn a_domain_suffix_finds_what_is_below_and_no_name_that_only_ends_alike() {
    let mut journal = Journal::new();
    let below = journal.add(OWN, indicator("a.evil.example", "", &[]), DAY);
    let mail = journal.add(OWN, indicator("x@evil.example", "", &[]), DAY);
    journal.add(OWN, indicator("notevil.example", "", &[]), DAY);
    let query = Query { domain_suffix: "evil.example".into(), ..Query::default() };
    assert_eq!(ids(journal.view(), &query), [mail.id(), below.id()]);
}

#[test]
fn a_network_finds_addresses_and_networks_within_and_networks_around() {
    let mut journal = Journal::new();
    let address = journal.add(OWN, indicator("192.0.2.5", "", &[]), DAY);
    let url = journal.add(OWN, indicator("http://192.0.2.200/x", "", &[]), DAY);
    let wide = journal.add(OWN, indicator("192.0.0.0/16", "", &[]), DAY);
    let narrow = journal.add(OWN, indicator("192.0.2.128/25", "", &[]), DAY);
    let first = journal.add(OWN, indicator("192.0.2.0/30", "", &[]), DAY);
    journal.add(OWN, indicator("192.0.3.0/25", "", &[]), DAY);
    journal.add(OWN, indicator("198.51.100.7", "", &[]), DAY);
    let network = |text: &str| Query { network: text.into(), ..Query::default() };
    let found = ids(journal.view(), &network("192.0.2.0/24"));
    assert_eq!(found, [first.id(), narrow.id(), wide.id(), url.id(), address.id()]);
    let around = ids(journal.view(), &network("192.0.2.200"));
    assert_eq!(around, [narrow.id(), wide.id(), url.id()]);
}

#[test]
fn words_are_found_in_scripts_without_blanks_and_in_every_spelling() {
    let mut journal = Journal::new();
    let japanese = journal.add(OWN, indicator("a.example", "偽のサポート詐欺サイト", &[]), DAY);
    let composed = journal.add(OWN, indicator("b.example", "Café Zürich", &[]), DAY);
    let text = |text: &str| Query { text: text.into(), ..Query::default() };
    for words in ["サポート詐欺", "ｻﾎﾟｰﾄ", "詐欺 サイト", "偽"] {
        assert_eq!(ids(journal.view(), &text(words)), [japanese.id()], "{words}");
    }
    for words in ["cafe\u{301}", "ＺＵ\u{308}RICH", "café zürich"] {
        assert_eq!(ids(journal.view(), &text(words)), [composed.id()], "{words}");
    }
    assert!(ids(journal.view(), &text("銀行")).is_empty());
}

#[test]
fn superseded_revisions_are_found_only_when_asked_for() {
    let mut journal = Journal::new();
    let first = journal.add(OWN, indicator("evil.example", "one", &[]), DAY);
    let second = journal.add(OWN, indicator("evil.example", "two", &[]), DAY);
    assert_eq!(ids(journal.view(), &value("evil.example")), [second.id()]);
    let all = Query { include_superseded: true, ..value("evil.example") };
    assert_eq!(ids(journal.view(), &all), [second.id(), first.id()]);
    let kept = journal.view().kept(&first.id()).unwrap().unwrap();
    let view = record_view(journal.view(), &kept, &analyst()).unwrap();
    assert!((view.superseded, view.withdrawn, view.conflicting) == (true, false, false));
}

#[test]
fn a_withdrawn_record_is_flagged_and_no_longer_found_by_its_value() {
    let mut journal = Journal::new();
    let record = journal.add(OWN, indicator("evil.example", "one", &[]), DAY);
    let withdrawal = journal.withdraw(&record, DAY);
    assert!(ids(journal.view(), &value("evil.example")).is_empty());
    let kept = journal.view().kept(&record.id()).unwrap().unwrap();
    let view = record_view(journal.view(), &kept, &analyst()).unwrap();
    assert!(view.superseded && view.withdrawn);
    let kind = Query { kind: pb::Kind::Withdrawal.into(), ..Query::default() };
    assert_eq!(ids(journal.view(), &kind), [withdrawal.id()]);
}

#[test]
fn a_case_is_found_by_reference_and_by_series_with_all_that_belongs_to_it() {
    let mut journal = Journal::new();
    let chakra = journal.add(OWN, case("RC-5", "chakra"), DAY);
    let series = chakra.header().series;
    let revised = journal.add(OWN, case("RC-5", "chakra v"), DAY);
    let linked = journal.add(OWN, indicator("evil.example", "", &[series]), DAY);
    let status = pb::TakedownStatus::Down;
    let result = journal.add(OTHER, takedown("evil.example", "RC-5", status, DAY), DAY);
    journal.add(OTHER, takedown("evil.example", "RC-6", status, DAY), DAY);
    journal.add(OWN, case("RC-6", "another"), DAY);
    for text in ["RC-5".to_owned(), "rc-5".to_owned(), "ＲＣ－５".to_owned(), series.to_string()]
    {
        let query = Query { case: text, ..Query::default() };
        let found = ids(journal.view(), &query);
        // The other agency's second result revised its first, which named RC-5.
        assert_eq!(found, [linked.id(), revised.id()]);
        let all = Query { include_superseded: true, ..query };
        let found = ids(journal.view(), &all);
        assert_eq!(found, [result.id(), linked.id(), revised.id(), chakra.id()]);
    }
    let unknown = Query { case: "RC-7".into(), ..Query::default() };
    assert!(ids(journal.view(), &unknown).is_empty());
}

#[test]
fn a_timeline_is_in_the_order_of_events_and_keeps_the_rare_ones() {
    let mut journal = Journal::new();
    let chakra = journal.add(OWN, case("RC-5", "chakra"), DAY);
    let series = chakra.header().series;
    let search = pb::CaseActionType::Search;
    let late = journal.add(OWN, action(search, DAY + 9 * DAY_MS, series), DAY);
    let early = journal.add(OWN, action(search, DAY + DAY_MS, series), DAY);
    let results = (0..5).map(|n| {
        let at = DAY + (2 + n) * DAY_MS;
        takedown(&format!("h{n}.example"), "RC-5", pb::TakedownStatus::Down, at)
    });
    let results = journal.add_all(OTHER, results.collect(), DAY);
    let selector = CaseSelector::parse("RC-5").unwrap();
    let timeline = journal.view().timeline(&selector, 3, &analyst()).unwrap().unwrap();
    let events: Vec<_> = timeline.events.iter().map(|e| e.kept.record.id()).collect();
    assert_eq!(events, [early.id(), results[4].id(), late.id()]);
    assert_eq!(timeline.totals, [(Kind::CaseAction, 2), (Kind::TakedownResult, 5)]);
    assert_eq!(timeline.case.unwrap().record.id(), chakra.id());
    let by_series = CaseSelector::Series(series);
    assert_eq!(
        journal.view().timeline(&by_series, 100, &analyst()).unwrap().unwrap().events.len(),
        7
    );
    let unknown = CaseSelector::parse("RC-6").unwrap();
    assert!(journal.view().timeline(&unknown, 3, &analyst()).unwrap().is_none());
}

#[test]
fn takedown_totals_count_the_newest_revision_of_each_result_once() {
    use pb::TakedownStatus::{Down, Reported, UpAgain};
    let mut journal = Journal::new();
    journal.add(OTHER, takedown("a.example", "RC-5", Reported, DAY), DAY);
    journal.add(OTHER, takedown("a.example", "RC-5", Down, DAY + DAY_MS), DAY);
    journal.add(OTHER, takedown("b.example", "RC-5", UpAgain, DAY), DAY);
    journal.add(OTHER, takedown("c.example", "RC-6", Down, 0), DAY);
    let gone = journal.add(OTHER, takedown("d.example", "RC-5", Down, DAY), DAY);
    journal.withdraw(&gone, DAY);
    let counts = |counts: &[pb::Count]| -> Vec<(String, u64)> {
        counts.iter().map(|count| (count.name.clone(), count.count)).collect()
    };
    let of_case = journal.view().takedown_status(Some("RC-5"), &analyst(), || true).unwrap();
    assert_eq!(of_case.total, 2);
    assert_eq!(
        counts(&of_case.by_day),
        [("2026-03-01".to_owned(), 1), ("2026-03-02".to_owned(), 1)]
    );
    assert_eq!(counts(&of_case.by_status), [("down".to_owned(), 1), ("up-again".to_owned(), 1)]);
    let all = journal.view().takedown_status(None, &analyst(), || true).unwrap();
    assert_eq!(all.total, 3);
    assert_eq!(counts(&all.by_provider), [("registrar".to_owned(), 3)]);
    assert_eq!(counts(&all.by_country), [("IN".to_owned(), 3)]);
    assert_eq!(journal.view().takedown_status(Some("RC-9"), &analyst(), || true).unwrap().total, 0);
}

#[test]
fn a_count_of_takedowns_ends_when_its_caller_has_gone() {
    let mut journal = Journal::new();
    for n in 0..5 {
        let result = takedown(&format!("{n}.example"), "RC-5", pb::TakedownStatus::Down, DAY);
        journal.add(OTHER, result, DAY);
    }
    let looks = std::cell::Cell::new(0);
    let is_wanted = || {
        looks.set(looks.get() + 1);
        looks.get() <= 3
    };
    assert_eq!(journal.view().takedown_status(None, &analyst(), is_wanted).unwrap().total, 3);
    assert_eq!(looks.get(), 4);
}

#[test]
fn spans_that_do_not_fit_memory_are_gathered_in_rounds() {
    let mut journal = Journal::new();
    let hosts = (0..23).map(|n| indicator(&format!("h{n}.evil.example"), "", &[]));
    journal.add_all(OWN, hosts.collect(), DAY);
    let prefix = crate::value::domain_suffix_key("evil.example").unwrap();
    let range = KeyRange::prefix(search::domain_prefix(&prefix));
    let gathered = |most| -> Vec<u64> {
        let index = journal.view().index();
        let gather = Gather::at_most(index, vec![range.clone(), range.clone()], 20, most);
        Candidates::Gather(gather).map(Result::unwrap).collect()
    };
    let wanted: Vec<u64> = (1..20).rev().collect();
    for most in [1, 2, 5, 46, 1_000] {
        assert_eq!(gathered(most), wanted, "{most}");
    }
}

#[test]
fn a_query_with_faults_is_refused_with_the_field_at_fault() {
    let refuse = |query: Query| Filter::try_from(&query).unwrap_err().to_string();
    let base = Query::default;
    assert!(refuse(Query { network: "x".into(), ..base() }).starts_with("network: "));
    assert!(refuse(Query { domain_suffix: "a b".into(), ..base() }).starts_with("domain_suffix"));
    assert!(refuse(Query { originator: "NPA".into(), ..base() }).starts_with("originator: "));
    assert!(refuse(Query { kind: 99, ..base() }).starts_with("kind 99"));
    assert!(refuse(Query { text: " - ".into(), ..base() }).starts_with("text: "));
    assert!(refuse(Query { created_from_ms: 2, created_until_ms: 2, ..base() }).contains("until"));
    assert!(refuse(Query { case: "x".repeat(257), ..base() }).starts_with("case: "));
}

const VALUES: [&str; 10] = [
    "evil.example",
    "a.evil.example",
    "notevil.example",
    "https://a.evil.example/x",
    "http://192.0.2.5/x",
    "192.0.2.5",
    "192.0.2.0/24",
    "192.0.2.0/28",
    "2001:db8::1",
    "x@evil.example",
];
const TITLES: [&str; 4] = ["Fake alert", "alert", "fake Call centre", ""];
const REFERENCES: [&str; 2] = ["RC-5", "RC-6"];

#[derive(Debug, Clone)]
struct Entry {
    sort: u8,
    value: usize,
    title: usize,
    reference: usize,
    linked: bool,
    own: bool,
    day: u64,
    withdraw: bool,
}

fn any_entry() -> impl Strategy<Value = Entry> {
    (
        (0..4u8, 0..VALUES.len(), 0..TITLES.len(), 0..REFERENCES.len()),
        (any::<bool>(), any::<bool>(), 0..4u64, prop::bool::weighted(0.1)),
    )
        .prop_map(|((sort, value, title, reference), (linked, own, day, withdraw))| Entry {
            sort,
            value,
            title,
            reference,
            linked,
            own,
            day,
            withdraw,
        })
}

fn maybe<T: Clone + std::fmt::Debug + Default + 'static>(
    choices: Vec<T>,
) -> impl Strategy<Value = T> {
    prop_oneof![3 => Just(T::default()), 1 => prop::sample::select(choices)]
}

fn texts(choices: &[&str]) -> Vec<String> {
    choices.iter().map(|text| (*text).to_owned()).collect()
}

fn any_query() -> impl Strategy<Value = Query> {
    (
        maybe(texts(&VALUES)),
        maybe(texts(&["evil.example", "example", "a.evil.example"])),
        maybe(texts(&["192.0.2.0/24", "192.0.2.5", "2001:db8::/32"])),
        maybe(texts(&["RC-5", "rc-6", "RC-7"])),
        maybe(vec![1, 2, 7, 11, 14]),
        maybe(texts(&[OWN, OTHER])),
        (maybe(vec![DAY, DAY + DAY_MS]), maybe(vec![DAY + 2 * DAY_MS, DAY + 3 * DAY_MS])),
        maybe(texts(&["alert", "fake alert", "CALL", "centre", "none"])),
        (any::<bool>(), 1..5u32),
    )
        .prop_map(
            |(value, domain_suffix, network, case, kind, originator, created, text, rest)| Query {
                value,
                domain_suffix,
                network,
                case,
                kind,
                originator,
                created_from_ms: created.0,
                created_until_ms: created.1,
                text,
                include_superseded: rest.0,
                page_size: rest.1,
                page_token: String::new(),
            },
        )
}

fn fill(journal: &mut Journal, entries: &[Entry]) {
    let cases: Vec<SeriesId> = REFERENCES
        .iter()
        .map(|reference| journal.add(OWN, case(reference, "alert"), DAY).header().series)
        .collect();
    for entry in entries {
        let links = if entry.linked { &cases[entry.reference..=entry.reference] } else { &[] };
        let (value, title) = (VALUES[entry.value], TITLES[entry.title]);
        let reference = if entry.linked { REFERENCES[entry.reference] } else { "" };
        let draft = match entry.sort {
            0 => indicator(value, title, links),
            1 => takedown(value, reference, pb::TakedownStatus::Down, DAY),
            2 => case(REFERENCES[entry.reference], title),
            _ => note(value, title, "centre", links),
        };
        let originator = if entry.own { OWN } else { OTHER };
        let at = DAY + entry.day * DAY_MS;
        let record = journal.add(originator, draft, at);
        if entry.withdraw {
            journal.withdraw(&record, at);
        }
    }
}

/// Every condition once more, in the plainest way and without an index.
fn brute_force(view: &View, query: &Query) -> Vec<u64> {
    let all: Vec<Kept> =
        (0..view.snapshot().size).filter_map(|index| view.accepted_at(index).unwrap()).collect();
    let of_case: BTreeSet<SeriesId> = all
        .iter()
        .filter(|kept| match kept.record.content().unwrap() {
            Content::Case(case) => case.reference.eq_ignore_ascii_case(&query.case),
            _ => false,
        })
        .map(|kept| kept.record.header().series)
        .collect();
    let mut found: Vec<u64> = all
        .iter()
        .filter(|kept| admits(query, &of_case, kept))
        .filter(|kept| query.include_superseded || !has_newer(&all, kept))
        .map(|kept| kept.journal_index)
        .collect();
    found.reverse();
    found
}

fn has_newer(all: &[Kept], kept: &Kept) -> bool {
    let header = kept.record.header();
    all.iter().map(|other| other.record.header()).any(|other| {
        (other.series, &other.originator) == (header.series, &header.originator)
            && other.revision > header.revision
    })
}

fn admits(query: &Query, of_case: &BTreeSet<SeriesId>, kept: &Kept) -> bool {
    let (header, content) = (kept.record.header(), kept.record.content().unwrap());
    let (value, text, links, reference) = match &content {
        Content::Indicator(m) => {
            (m.value.as_str(), format!("{} {}", m.title, m.notes), m.cases.clone(), "")
        }
        Content::TakedownResult(m) => {
            (m.value.as_str(), m.notes.clone(), m.cases.clone(), m.case_reference.as_str())
        }
        Content::Case(m) => ("", format!("{} {}", m.reference, m.title), vec![], ""),
        Content::Note(m) => ("", format!("{} {}", m.title, m.text), m.records.clone(), ""),
        Content::Withdrawal(m) => ("", m.explanation.clone(), vec![], ""),
        other => panic!("{other:?}"),
    };
    let created = header.created_at.unix_ms() as u64;
    let text = text.to_lowercase();
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let asked = query.text.to_lowercase();
    (query.value.is_empty() || query.value == value)
        && (query.domain_suffix.is_empty() || below(&query.domain_suffix, value))
        && (query.network.is_empty() || meets(&query.network, value))
        && (query.case.is_empty()
            || of_case.contains(&header.series)
            || links.iter().any(|id| of_case.iter().any(|case| case.as_bytes()[..] == id[..]))
            || reference.eq_ignore_ascii_case(&query.case))
        && (query.kind == 0 || query.kind == i32::from(header.kind.number()))
        && (query.originator.is_empty() || query.originator == header.originator.as_str())
        && created >= query.created_from_ms
        && (query.created_until_ms == 0 || created < query.created_until_ms)
        && asked.split_whitespace().all(|word| words.contains(word))
}

fn below(suffix: &str, value: &str) -> bool {
    let host = match Value::guess(value) {
        Ok(value) if value.value_type() == ValueType::Url => {
            url::Url::parse(value.text()).unwrap().host_str().unwrap().to_owned()
        }
        Ok(value) if value.value_type() == ValueType::Email => {
            value.text().split('@').nth(1).unwrap().to_owned()
        }
        Ok(value) if value.value_type() == ValueType::Domain => value.text().to_owned(),
        _ => return false,
    };
    host == suffix || host.ends_with(&format!(".{suffix}"))
}

fn meets(network: &str, value: &str) -> bool {
    let asked: ipnet::IpNet = network
        .parse()
        .unwrap_or_else(|_| ipnet::IpNet::from(network.parse::<std::net::IpAddr>().unwrap()));
    let host = value.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    if let Ok(address) = host.unwrap_or(value).parse::<std::net::IpAddr>() {
        return asked.contains(&address);
    }
    let other = value.parse::<ipnet::IpNet>();
    other.is_ok_and(|other| other.contains(&asked) || asked.contains(&other))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    #[test]
    fn a_query_finds_what_a_look_at_every_record_finds(
        entries in prop::collection::vec(any_entry(), 10..40),
        queries in prop::collection::vec(any_query(), 48),
    ) {
        let mut journal = Journal::new();
        fill(&mut journal, &entries);
        for query in &queries {
            let wanted = brute_force(journal.view(), query);
            prop_assert_eq!(ask(journal.view(), query), wanted, "{:?}", query);
        }
    }
}

/// Returns the results, cases and events that a node counts and shows, with those that it reports
/// as missing.
fn counted(view: &View) -> (u64, u64, usize, u64) {
    let totals = view.takedown_status(None, &analyst(), || true).unwrap();
    let selector = CaseSelector::parse("NPA-1").unwrap();
    let timeline = view.timeline(&selector, 9, &analyst()).unwrap().unwrap();
    (totals.total, totals.damaged, timeline.events.len(), timeline.damaged)
}

#[test]
fn totals_and_time_lines_go_on_behind_damage_and_say_how_much_is_missing() {
    let mut journal = Journal::new();
    let of_case = journal.add(OWN, case("NPA-1", "one"), DAY);
    let series = of_case.header().series;
    let results: Vec<_> = (0..3)
        .map(|n| {
            let status = pb::TakedownStatus::Down;
            journal.add(OWN, takedown(&format!("{n}.example"), "NPA-1", status, DAY), DAY)
        })
        .collect();
    let search = journal.add(OWN, action(pb::CaseActionType::Search, DAY, series), DAY);
    assert_eq!(counted(journal.view()), (3, 0, 4, 0));
    journal.damage_content(&results[1]);
    assert_eq!(counted(journal.view()), (2, 1, 3, 1));
    journal.damage_entry(&search);
    assert_eq!(counted(journal.view()), (2, 1, 2, 2));
    // The case itself: results that name its reference are still found.
    journal.damage_content(&of_case);
    assert_eq!(counted(journal.view()), (2, 1, 2, 3));
    let by_series = CaseSelector::Series(series);
    let timeline = journal.view().timeline(&by_series, 9, &analyst()).unwrap().unwrap();
    assert!(timeline.case.is_none() && timeline.damaged == 2, "{timeline:?}");
    let query = Query { case: "NPA-1".into(), ..Query::default() };
    let step = journal.view().search_step(&Filter::try_from(&query).unwrap(), u64::MAX, 9);
    let step = step.unwrap();
    assert_eq!((step.hits.len(), step.damaged), (2, 3));
    // Once the bytes are back, nothing is missing.
    journal.damage_content(&results[1]);
    journal.damage_content(&of_case);
    journal.damage_entry(&search);
    assert_eq!(counted(journal.view()), (3, 0, 4, 0));
}
