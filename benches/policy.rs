//! The costs of a decision of the sharing policy: through Cedar, by replaying its atoms,
//! remembered, and explained. The output ends with figures beside their limits.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use facts::{OWN, agency, partner};
use liaison::policy::{
    Bundle, Compiled, MemoDecider, PartnerFacts, PolicyHour, RecordFacts, Report, Selector,
    Vocabulary, explain,
};
use liaison::record::marking::{Pap, Tlp};
// The facts name the modules of the library as their own.
use liaison::{ident, policy, record};

#[path = "../src/testkit/policy.rs"]
#[allow(dead_code, reason = "the facts of the unit tests, of which a part is measured")]
mod facts;

fn moment() -> PolicyHour {
    facts::hour(0)
}

/// Every tenth reveals a class of fields, the others share; only the last shares our records.
fn policies(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let action = if n % 10 == 3 { "reveal:notes" } else { "share" };
        let label = if n + 1 == count { "takedown".to_owned() } else { format!("other-{n}") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            r#"@id("bench/{n}") @title("policy {n}") @agreement("none") @owner("policy@npa.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"{action}", resource is Liaison::Record)
when {{
  principal.sector == Liaison::Sector::"cert" &&
  [Liaison::Tlp::"CLEAR", Liaison::Tlp::"GREEN"].contains(resource.tlp) &&
  resource.labels.contains("{label}") && resource.confidence >= {least}
}};"#,
            least = n % 50,
        );
    }
    text
}

/// Partners of an agency that has a handful of policies for each.
const PARTNERS: usize = 20;

/// The policies of an agency: one in ten for everybody, the others each for one partner. Those of
/// `cert.example` come to 30 of 200, and reveal four classes.
fn policies_by_partner(count: usize) -> String {
    by_partner(count, |n| {
        format!(
            r#"resource has operation && principal.operations.contains(resource.operation) &&
  resource.labels.contains("takedown") && resource.confidence >= {least}"#,
            least = n % 50
        )
    })
}

/// The same where no policy asks what another asks, and each of its conditions holds.
fn policies_apart(count: usize) -> String {
    by_partner(count, |n| {
        format!(
            r#"resource.labels.containsAny(["label-of-{n}", "takedown"]) &&
  resource.created > datetime("2025-01-01T00:00:00.{n:03}Z") &&
  !resource.jurisdictions.contains("country-{n}") && resource.confidence != {never}"#,
            never = 101 + n
        )
    })
}

fn by_partner(count: usize, condition: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0..count {
        let who = match (n % 10, n % PARTNERS) {
            (9, _) => "principal is Liaison::Partner".to_owned(),
            (_, 0) => "principal == Liaison::Partner::\"cert.example\"".to_owned(),
            (_, of) => format!("principal == Liaison::Partner::\"partner-{of}.example\""),
        };
        let actions = ["share", "reveal:notes", "reveal:evidence", "reveal:source", "reveal:links"];
        let action = actions[n / PARTNERS % actions.len()];
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            r#"@id("agency/{n}") @title("policy {n}") @agreement("none") @owner("policy@npa.example")
permit ({who}, action == Liaison::Action::"{action}", resource is Liaison::Record)
when {{
  [Liaison::Tlp::"CLEAR", Liaison::Tlp::"GREEN"].contains(resource.tlp) &&
  {condition}
}};"#,
            condition = condition(n),
        );
    }
    text
}

fn compiled(count: usize) -> Arc<Compiled> {
    load(policies(count))
}

fn load(policies: String) -> Arc<Compiled> {
    let files = [("bench.cedar".to_owned(), policies)];
    let bundle = Bundle::load(files, &Vocabulary::default());
    let bundle = bundle.map_err(|found| Report(&found).to_string()).unwrap();
    Arc::new(Compiled::new(Arc::new(bundle), agency(OWN), [partner()]))
}

fn record() -> RecordFacts {
    RecordFacts {
        tlp: Tlp::Green,
        pap: Pap::Green,
        labels: vec!["takedown".to_owned(), "tech-support-scam".to_owned()],
        operation: Some("chakra".to_owned()),
        ..facts::record()
    }
}

/// Records that differ in what policies ask, as those of a bulk push do.
fn records() -> Vec<RecordFacts> {
    (0..64_u8).map(|n| RecordFacts { confidence: n, ..record() }).collect()
}

fn decisions(c: &mut Criterion) {
    let (partner, moment) = (partner(), moment());
    for count in [20, 200] {
        let compiled = compiled(count);
        let record = record();
        assert!(compiled.decide(&partner, &record, &moment).release.allowed);
        c.bench_function(&format!("decide by Cedar, {count} policies"), |b| {
            b.iter(|| compiled.decide(&partner, black_box(&record), &moment));
        });
        c.bench_function(&format!("select 64 records, {count} policies"), |b| {
            let mut selector = Selector::new(&compiled, &partner, &moment);
            let records = records();
            b.iter(|| records.iter().filter(|record| selector.select(record).released).count());
        });
    }
    c.bench_function("load a bundle, 200 policies", |b| {
        let files = [("bench.cedar".to_owned(), policies_apart(200))];
        b.iter(|| Bundle::load(files.clone(), &Vocabulary::default()).unwrap());
    });
    c.bench_function("make a partner ready, 200 policies", |b| {
        let compiled = load(policies_apart(200));
        let other = PartnerFacts { client: true, ..partner.clone() };
        b.iter(|| compiled.for_partner(&other));
    });
    c.bench_function("decide from memory", |b| {
        let mut memo = MemoDecider::new(compiled(200));
        let record = record();
        b.iter(|| memo.decide(&partner, black_box(&record), &moment));
    });
}

fn explanations(c: &mut Criterion) {
    let (partner, moment) = (partner(), moment());
    let compiled = load(policies_by_partner(200));
    let denied = RecordFacts { tlp: Tlp::Amber, ..record() };
    for (what, record) in [("allowed", record()), ("denied", denied)] {
        c.bench_function(&format!("explain, {what}, 200 policies"), |b| {
            b.iter(|| explain(&compiled, &partner, black_box(&record), &moment));
        });
    }
}

/// No two of them are alike, so that nothing could be remembered.
fn distinct(count: u32) -> Vec<RecordFacts> {
    (0..count)
        .map(|n| RecordFacts {
            labels: vec!["takedown".to_owned(), format!("label-{n}")],
            confidence: 50 + (n % 50) as u8,
            ..record()
        })
        .collect()
}

/// The time per call, at the median and at the 99th of a hundred.
fn timed<T>(records: &[RecordFacts], mut work: impl FnMut(&RecordFacts) -> T) -> [Duration; 2] {
    let mut times: Vec<_> = records
        .iter()
        .map(|record| {
            let start = Instant::now();
            black_box(work(black_box(record)));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// Uncached decisions with 200 policies, beside what they may cost.
fn limits(_: &mut Criterion) {
    const DECIDE_MAX: Duration = Duration::from_micros(100);
    const EXPLAIN_MAX: Duration = Duration::from_millis(50);
    let (partner, moment) = (partner(), moment());
    let by_partner = load(policies_by_partner(200));
    let for_everybody = compiled(200);
    let apart = load(policies_apart(200));
    let allowed = distinct(5_000);
    let denied: Vec<_> =
        allowed.iter().map(|record| RecordFacts { tlp: Tlp::Amber, ..record.clone() }).collect();
    for compiled in [&by_partner, &apart] {
        let decision = compiled.decide(&partner, &allowed[0], &moment);
        assert_eq!((decision.release.allowed, decision.revealed.iter().count()), (true, 5));
    }
    assert!(!by_partner.decide(&partner, &denied[0], &moment).release.allowed);
    let decide = |compiled: &Compiled, records: &[RecordFacts]| {
        timed(records, |record| compiled.decide(&partner, record, &moment))
    };
    println!(
        "\n200 policies, no two records alike                        median      p99    limit"
    );
    for (what, [median, p99], limit) in [
        ("decide, denied", decide(&by_partner, &denied), DECIDE_MAX),
        ("decide, allowed, four classes revealed", decide(&by_partner, &allowed), DECIDE_MAX),
        ("decide, the same, no condition shared", decide(&apart, &allowed), DECIDE_MAX),
        ("decide, all policies for every partner", decide(&for_everybody, &allowed), DECIDE_MAX),
        (
            "explain, denied",
            timed(&denied[..500], |record| explain(&by_partner, &partner, record, &moment)),
            EXPLAIN_MAX,
        ),
        (
            "explain, allowed",
            timed(&allowed[..500], |record| explain(&by_partner, &partner, record, &moment)),
            EXPLAIN_MAX,
        ),
    ] {
        let verdict = if median <= limit { "within" } else { "OVER" };
        println!("{what:<52} {median:>10.1?} {p99:>8.1?} {limit:>8.1?}  {verdict}");
    }
}

criterion_group! {
    name = policy;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decisions, explanations, limits
}
criterion_main!(policy);
