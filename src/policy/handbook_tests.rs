//! docs/POLICY.md holds: it explains every word there is, and what it shows comes out.

use super::bundle::Bundle;
use super::cedar::Action;
use super::examples::{Report, run};
use super::facts::Sector;
use super::templates::TEMPLATES;
use super::vocabulary::Vocabulary;
use crate::record::kind::Kind;
use crate::record::marking::{Pap, Tlp};
use std::sync::Arc;

const HANDBOOK: &str = include_str!("../../docs/POLICY.md");

/// The one block of this language.
fn block(language: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = HANDBOOK.split(&fence).skip(1);
    let block = blocks.next().unwrap().split("```").next().unwrap();
    assert!(blocks.next().is_none(), "two blocks of {language}");
    block.to_owned()
}

fn tried(policy: &str) -> Report {
    let files = [("10-sharing.cedar", policy), ("10-sharing.test.toml", &block("toml"))];
    let named = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let bundle = Bundle::load(named, &Vocabulary::default()).unwrap_or_else(|f| panic!("{f:?}"));
    run(files, &Arc::new(bundle))
}

#[test]
fn its_policy_loads_and_its_examples_hold() {
    let report = tried(&block("cedar"));
    assert!(report.holds() && report.unexercised.is_empty(), "{report}");
    assert_eq!(report.passed, 2);
}

#[test]
fn the_failure_that_it_shows_is_the_failure_that_comes() {
    let more = "when { resource.confidence >= 70 }";
    assert!(HANDBOOK.contains(more));
    let stricter = block("cedar").replace("unless {", &format!("{more}\nunless {{"));
    let report = tried(&stricter).to_string();
    let shown = HANDBOOK.split("$ liaison policy test policies/\nFAIL").nth(1).unwrap();
    let shown = format!("FAIL{}", shown.split("```").next().unwrap());
    // What stands behind a bar is the explanation, which has tests of its own.
    let own = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("  |")).map(str::to_owned).collect()
    };
    assert_eq!(own(&shown), own(&report), "{report}");
}

#[test]
fn every_word_of_the_vocabulary_is_explained() {
    let attributes = [super::texts::SCHEMA].into_iter().flat_map(str::lines).filter_map(|line| {
        let (name, _) = line.trim().split_once(':')?;
        let name = name.trim_end_matches('?');
        name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then_some(name)
    });
    let attributes = attributes.filter(|name| !["principal", "now"].contains(name));
    let guards =
        super::texts::GUARDRAILS.split("@id(\"").skip(1).filter_map(|part| part.split('"').next());
    let words = (attributes.chain(guards))
        .chain(Action::ALL.map(Action::name))
        .chain([
            "release",
            "reveal",
            "context.now",
            "@id",
            "@title",
            "@agreement",
            "@owner",
            "@review",
        ])
        .chain(Kind::ALL.map(Kind::name))
        .chain(Sector::ALL.map(Sector::name))
        .chain(Tlp::ALL.map(Tlp::name))
        .chain(Pap::ALL.map(Pap::name))
        .chain(TEMPLATES.map(|template| template.name));
    let mut count = 0;
    for word in words {
        let explained =
            [format!("`{word}`"), format!("`{word}:")].iter().any(|w| HANDBOOK.contains(w));
        assert!(explained, "{word}");
        count += 1;
    }
    assert!(count > 80, "{count}");
}
