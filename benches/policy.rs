//! What a decision of the sharing policy costs: through Cedar, by replaying its atoms, remembered.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use liaison::ident::{AgencyName, Timestamp};
use liaison::policy::{
    Bundle, Compiled, MemoDecider, Moment, PartnerFacts, RecordFacts, Report, Sector, Selector,
    Vocabulary,
};
use liaison::record::kind::Kind;
use liaison::record::marking::{Pap, Tlp};

fn agency(name: &str) -> AgencyName {
    name.parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn moment() -> Moment {
    Moment::at(time("2026-11-22T10:00:00Z"))
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

fn compiled(count: usize) -> Arc<Compiled> {
    let files = [("bench.cedar".to_owned(), policies(count))];
    let bundle = Bundle::load(files, &Vocabulary::default());
    let bundle = bundle.map_err(|found| Report(&found).to_string()).unwrap();
    Arc::new(Compiled::new(Arc::new(bundle), agency("npa.example"), [partner()]))
}

fn partner() -> PartnerFacts {
    PartnerFacts {
        agency: agency("cert.example"),
        sector: Sector::Cert,
        country: "FR".parse().unwrap(),
        client: false,
        suspended: false,
        agreement_until: time("2030-01-01"),
        circles: vec!["fraud".to_owned()],
        operations: vec!["chakra-v".to_owned()],
        tags: Default::default(),
    }
}

fn record() -> RecordFacts {
    RecordFacts {
        kind: Kind::Indicator,
        tlp: Tlp::Green,
        pap: Pap::Green,
        originator: agency("npa.example"),
        labels: vec!["takedown".to_owned(), "tech-support-scam".to_owned()],
        releasable_to: None,
        circles: None,
        orcon: false,
        confidence: 80,
        created_hour: time("2026-11-20T08:00:00Z"),
        expires_hour: None,
        personal_data: false,
        jurisdictions: Vec::new(),
        operation: Some("chakra-v".to_owned()),
        caveat: false,
        foreign: false,
        no_evidence: false,
        no_notify: false,
        no_attribution: false,
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
    c.bench_function("decide from memory", |b| {
        let mut memo = MemoDecider::new(compiled(200));
        let record = record();
        b.iter(|| memo.decide(&partner, black_box(&record), &moment));
    });
}

criterion_group! {
    name = policy;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decisions
}
criterion_main!(policy);
