//! A field that policy withholds is nowhere at the partner: neither in its files nor in its memory.
//!
//! Each search is also made where the value must be found, so that it can fail.

use std::fs::File;
use std::io::{BufRead as _, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use liaison::pb::{self, draft::Content};

use crate::fixture::{self, CORE_ONLY, RunningNode, canary, draft};

/// Returns true if bytes contain a needle. It uses `skip_until`, which is quick even without
/// optimisation.
fn holds(mut bytes: &[u8], needle: &str) -> bool {
    let (first, rest) = needle.as_bytes().split_first().unwrap();
    loop {
        let skipped = bytes.skip_until(*first).unwrap();
        if skipped == 0 {
            return false;
        }
        if bytes.starts_with(rest) {
            return true;
        }
    }
}

/// The files below a directory that contain a needle.
pub(crate) fn files_with(dir: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with(&path, needle));
        } else if holds(&std::fs::read(&path).unwrap(), needle) {
            found.push(path);
        }
    }
    found
}

/// All memory that a process may write, read as far as the system gives it.
fn memory_of(pid: u32) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines()
        .filter(|line| {
            line.split_whitespace().nth(1).is_some_and(|rights| rights.starts_with("rw"))
        })
        .filter_map(|line| {
            let (from, to) = line.split_whitespace().next()?.split_once('-')?;
            let address = |text| u64::from_str_radix(text, 16).ok();
            let (from, to) = (address(from)?, address(to)?);
            memory.seek(SeekFrom::Start(from)).ok()?;
            let mut bytes = Vec::new();
            // A page that was never touched or has gone meanwhile ends the region.
            let _ = memory.by_ref().take(to - from).read_to_end(&mut bytes);
            Some(bytes)
        })
        .collect()
}

struct Secrets {
    disclosed: Vec<String>,
    withheld: Vec<String>,
}

/// A takedown request, a victim and an indicator, with a value of its own in every text.
fn records() -> (Vec<pb::Draft>, Secrets) {
    let mut secrets = Secrets { disclosed: Vec::new(), withheld: Vec::new() };
    let mut open = |what: &str| {
        let value = canary(what);
        secrets.disclosed.push(value.clone());
        value
    };
    let (provider, basis, domain, title) =
        (open("provider"), open("basis"), open(".example"), open("title"));
    let mut withhold = |what: &str| {
        let value = canary(what);
        secrets.withheld.push(value.clone());
        value
    };
    let request = pb::TakedownRequest {
        r#type: pb::ValueType::Domain.into(),
        value: domain.clone(),
        action: pb::TakedownAction::SuspendDomain.into(),
        provider,
        basis,
        evidence: vec![withhold("evidence")],
        reporter: withhold("reporter"),
        notes: withhold("notes"),
        ..pb::TakedownRequest::default()
    };
    let victim = pb::Subject {
        r#type: pb::SubjectType::Person.into(),
        role: pb::SubjectRole::Victim.into(),
        country: "JP".to_owned(),
        name: withhold("name"),
        contacts: vec![withhold("contact")],
        document_ids: vec![withhold("document")],
        notes: withhold("subjectnotes"),
        ..pb::Subject::default()
    };
    let indicator = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: domain,
        title,
        source: withhold("source"),
        references: vec![withhold("reference")],
        reporter: withhold("indicatorreporter"),
        notes: withhold("indicatornotes"),
        ..pb::Indicator::default()
    };
    let mut victim = draft("victim-1", Content::Subject(victim));
    if let Some(marking) = &mut victim.marking {
        marking.personal_data = true;
        marking.jurisdictions = vec!["JP".to_owned()];
    }
    let drafts = vec![
        draft("", Content::TakedownRequest(request)),
        victim,
        draft("", Content::Indicator(indicator)),
    ];
    (drafts, secrets)
}

#[tokio::test]
async fn a_withheld_field_is_in_no_file_and_no_memory_of_the_partner() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", CORE_ONLY).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", CORE_ONLY).await;
    let nodes = [&police, &vendor, &cert];
    fixture::introduce(&nodes).await;
    let (drafts, secrets) = records();
    let series: Vec<_> = police.submit(drafts).await.into_iter().map(|r| r.series).collect();
    fixture::settled(&nodes).await;
    for partner in [&vendor, &cert] {
        assert_eq!(partner.status().await.records, 3, "{}", partner.agency);
        // Read once, so that what is disclosed was in use in the partner's memory.
        for series in &series {
            let selector = Some(pb::get_record_request::Selector::Series(series.clone()));
            let request = pb::GetRecordRequest { selector };
            partner.analyst().await.get_record(request).await.unwrap();
        }
        let memory = memory_of(partner.pid());
        let remembers = |needle: &str| memory.iter().any(|region| holds(region, needle));
        for value in &secrets.withheld {
            assert_eq!(files_with(&partner.dir, value), [] as [PathBuf; 0], "{value}");
            assert!(!remembers(value), "{} has {value} in memory", partner.agency);
        }
        for value in &secrets.disclosed {
            assert!(!files_with(&partner.dir, value).is_empty(), "{value}");
        }
        assert!(secrets.disclosed.iter().any(|value| remembers(value)), "{}", partner.agency);
    }
    for value in secrets.withheld.iter().chain(&secrets.disclosed) {
        assert!(!files_with(&police.dir, value).is_empty(), "{value}");
    }
}

#[test]
fn a_needle_is_found_wherever_it_stands() {
    for hay in ["qabc", "xqabc", "qqabc", "qab qabcx"] {
        assert!(holds(hay.as_bytes(), "qabc"), "{hay}");
    }
    for hay in ["", "q", "qab", "xqabx", "abc"] {
        assert!(!holds(hay.as_bytes(), "qabc"), "{hay}");
    }
}
