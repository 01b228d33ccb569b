//! A bundle: the sharing policy of an agency as files, checked as a whole before it is ever used.
//!
//! A bundle that loads can't err for want of a fact, names only what exists and says of each
//! policy what it does, why and who answers for it. The guardrails are part of every bundle.

use super::finding::{Finding, Place};
use super::parts::{Part, Parts};
use super::source::{
    BUNDLE_BYTES_MAX, FILES_MAX, FINDINGS_MAX, Parsed, diagnosed, is_examples, parse,
};
use super::vocabulary::Vocabulary;
use super::{cedar, lint};
use crate::ident::{BundleHash, Timestamp};
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator, pst};
use miette::Diagnostic;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Policies of one bundle without the guardrails; five times what a large agency is expected to
/// have, and still compiled in well under a second.
pub const POLICIES_MAX: usize = 1_000;

const HASH_TAG: &[u8] = b"liaison/bundle/v1\0";
const GUARDRAILS_FILE: &str = "guardrails.cedar (built in)";
/// The depth to which attributes may be followed: `resource.tlp`, but not
/// `resource.originator.country`. The originator is not in the store of a decision, and an absent
/// entity errs.
const LEVEL: u32 = 1;

/// One policy of a bundle, with its annotations.
#[derive(Debug, Clone)]
pub struct Statement {
    pub id: Arc<str>,
    pub title: String,
    pub agreement: Option<String>,
    pub owner: Option<String>,
    /// The time at which the owner is to review the policy.
    pub review: Option<Timestamp>,
    pub file: Arc<str>,
    pub line: u32,
    pub permits: bool,
    pub(super) policy: Policy,
    pub(super) body: pst::Template,
    /// See [`Parts::take_apart`].
    pub(super) parts: Option<Arc<[Arc<Part>]>>,
}

impl Statement {
    fn new(parsed: &Parsed, id: &str) -> Self {
        let annotation = |name| parsed.policy.annotation(name).map(str::to_owned);
        Self {
            id: id.into(),
            title: annotation("title").unwrap_or_default(),
            agreement: annotation("agreement"),
            owner: annotation("owner"),
            review: annotation("review").and_then(|date| date.parse().ok()),
            file: parsed.place.file.clone(),
            line: parsed.place.line,
            permits: parsed.policy.effect() == Effect::Permit,
            policy: parsed.policy.new_id(PolicyId::new(id)),
            body: parsed.body.clone(),
            parts: None,
        }
    }

    /// One of the forbids that every node has.
    pub fn is_guardrail(&self) -> bool {
        self.id.starts_with("guard/")
    }
}

/// A sharing policy that has passed every check.
#[derive(Debug, Clone)]
pub struct Bundle {
    statements: Vec<Statement>,
    hash: BundleHash,
}

impl Bundle {
    /// Reads the files of a bundle, each a name and its text. No file at all is a bundle too: it
    /// denies everything. All findings are given at once, in the order of the files. Files of
    /// examples count towards the bounds and the hash and are not read here: what was once in
    /// force must load for ever, whatever a later version makes of its examples.
    pub fn load(
        files: impl IntoIterator<Item = (String, String)>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Vec<Finding>> {
        let (files, mut found) = collect(files);
        if !found.is_empty() {
            return Err(found);
        }
        let mut reading = GUARDED.clone();
        for (name, text) in files.iter().filter(|(name, _)| !is_examples(name)) {
            reading.file(name, text, vocabulary);
        }
        found.append(&mut reading.found);
        if reading.statements.iter().filter(|s| !s.is_guardrail()).count() > POLICIES_MAX {
            found.push(Finding::of_file(
                "bundle",
                format!("a bundle has at most {POLICIES_MAX} policies; this one has more"),
            ));
        } else {
            found.extend(reading.validate());
        }
        if found.is_empty() {
            reading.parts.take_apart(&mut reading.statements);
            return Ok(Self { statements: reading.statements, hash: hash(&files) });
        }
        found.sort();
        found.dedup();
        found.truncate(FINDINGS_MAX);
        Err(found)
    }

    /// Returns the bundle that loading without any check would make.
    #[cfg(test)]
    pub(super) fn unchecked(text: &str) -> Self {
        let mut reading = GUARDED.clone();
        for parsed in super::source::parse_unmeasured(&"forced.cedar".into(), text).unwrap() {
            let id = parsed.policy.annotation("id").unwrap().to_owned();
            reading.take(&parsed, &id, text);
        }
        assert!(reading.found.is_empty(), "{:?}", reading.found);
        reading.parts.take_apart(&mut reading.statements);
        Self { statements: reading.statements, hash: hash(&Files::new()) }
    }

    /// Names the exact bytes of the files, whatever order they came in.
    pub const fn hash(&self) -> BundleHash {
        self.hash
    }

    /// The guardrails, then the policies of the files in their order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The policies whose `@review` lies before `now`.
    pub fn reviews_due(&self, now: Timestamp) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(move |s| s.review.is_some_and(|review| review <= now))
    }
}

type Files = BTreeMap<String, String>;

fn collect(files: impl IntoIterator<Item = (String, String)>) -> (Files, Vec<Finding>) {
    let mut sorted = Files::new();
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    for (name, text) in files {
        bytes = bytes.saturating_add(name.len()).saturating_add(text.len());
        if bytes > BUNDLE_BYTES_MAX {
            let message =
                format!("a bundle has at most {BUNDLE_BYTES_MAX} bytes; this one has more");
            found.push(Finding::of_file(&name, message));
            break;
        }
        if sorted.len() == FILES_MAX {
            let message = format!("a bundle has at most {FILES_MAX} files; this one has more");
            found.push(Finding::of_file(&name, message));
            break;
        }
        if sorted.contains_key(&name) {
            found.push(Finding::of_file(&name, "there are two files of this name"));
        }
        sorted.insert(name, text);
    }
    (sorted, found)
}

/// SHA-256 over the tag and each file in the order of the names: the name and the text, each after
/// its length in bytes as four bytes, the most significant first.
fn hash(files: &Files) -> BundleHash {
    let mut hasher = Sha256::new_with_prefix(HASH_TAG);
    for part in files.iter().flat_map(|(name, text)| [name, text]) {
        let bytes = u32::try_from(part.len()).expect("a bundle has less than 4 GiB, see collect");
        hasher.update(bytes.to_be_bytes());
        hasher.update(part);
    }
    BundleHash::from_bytes(hasher.finalize().into())
}

/// The beginning of every bundle: the guardrails.
static GUARDED: LazyLock<Reading<'static>> = LazyLock::new(|| {
    let mut reading = Reading::default();
    reading.guardrails();
    reading.parts.take_apart(&mut reading.statements);
    reading
});

#[derive(Clone, Default)]
struct Reading<'a> {
    statements: Vec<Statement>,
    parts: Parts,
    places: BTreeMap<Arc<str>, (Place, &'a str)>,
    found: Vec<Finding>,
}

impl<'a> Reading<'a> {
    fn guardrails(&mut self) {
        let file: Arc<str> = GUARDRAILS_FILE.into();
        match parse(&file, super::texts::GUARDRAILS) {
            Ok(policies) => {
                for parsed in policies {
                    if let Some(id) = lint::identity(&parsed, &mut self.found) {
                        self.take(&parsed, &id, super::texts::GUARDRAILS);
                    }
                }
            }
            Err(findings) => self.found.extend(findings),
        }
    }

    fn file(&mut self, name: &str, text: &'a str, vocabulary: &Vocabulary) {
        let file: Arc<str> = name.into();
        let policies = match parse(&file, text) {
            Ok(policies) => policies,
            Err(findings) => return self.found.extend(findings),
        };
        for parsed in policies {
            // Without an id of its own a policy is still checked, under that of its place.
            let id = lint::identity(&parsed, &mut self.found)
                .unwrap_or_else(|| format!("the policy at {file}:{}", parsed.place.line));
            lint::check(&parsed, &id, vocabulary, &mut self.found);
            self.take(&parsed, &id, text);
        }
    }

    fn take(&mut self, parsed: &Parsed, id: &str, text: &'a str) {
        if let Some((first, _)) = self.places.get(id) {
            let message = format!("two policies have the id {id:?}");
            let help = format!("the other stands at {}:{}", first.file, first.line);
            return self.found.push(Finding::at(&parsed.place, message).with_help(help));
        }
        let statement = Statement::new(parsed, id);
        self.places.insert(statement.id.clone(), (parsed.place.clone(), text));
        self.statements.push(statement);
    }

    /// Cedar's own validation, with warnings as errors.
    fn validate(&self) -> Vec<Finding> {
        let set = match PolicySet::from_policies(self.statements.iter().map(|s| s.policy.clone())) {
            Ok(set) => set,
            Err(error) => return vec![Finding::of_file("bundle", error.to_string())],
        };
        let validator = Validator::new(cedar::SCHEMA.clone());
        let result = validator.validate_with_level(&set, ValidationMode::Strict, LEVEL);
        let errors = result.validation_errors().map(|e| self.finding(e, e.policy_id()));
        let warnings = result.validation_warnings().map(|w| self.finding(w, w.policy_id()));
        errors.chain(warnings).collect()
    }

    fn finding(&self, diagnostic: &dyn Diagnostic, id: &PolicyId) -> Finding {
        let id: &str = id.as_ref();
        match self.places.get(id) {
            Some((place, text)) => diagnosed(diagnostic, &place.file, text, place),
            None => Finding::of_file("bundle", diagnostic.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
