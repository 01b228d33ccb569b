//! A bundle as it may be put in force: sound, its examples hold, and nothing of a template is left to name.
//!
//! A bundle that was in force once is loaded without these demands; see [`Bundle::load`].

use std::sync::Arc;

use super::bundle::Bundle;
use super::examples;
use super::finding::{Finding, Place};
use super::source::is_examples;
use super::templates::TO_BE_NAMED;
use super::vocabulary::Vocabulary;

/// Loads files, each a name and its text, as a bundle that may be put in force.
pub fn load_proposed(
    files: &[(&str, &str)],
    vocabulary: &Vocabulary,
) -> Result<Arc<Bundle>, Vec<Finding>> {
    let owned = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let bundle = Arc::new(Bundle::load(owned, vocabulary)?);
    let mut found = examples::run(files.iter().copied(), &bundle).into_findings();
    found.extend(files.iter().flat_map(|(name, text)| unnamed(name, text)));
    if found.is_empty() { Ok(bundle) } else { Err(found) }
}

/// Returns a finding for each line of a policy file that a template left to the agency. The journal would hold it as
/// the legal basis for good.
fn unnamed(file: &str, text: &str) -> Vec<Finding> {
    if is_examples(file) {
        return Vec::new();
    }
    let left = |line: &&str| line.contains(TO_BE_NAMED) && !line.trim_start().starts_with("//");
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| left(line))
        .map(|(number, line)| {
            let place = Place { file: file.into(), line: number, column: 1 };
            let annotation = line
                .trim_start()
                .strip_prefix('@')
                .and_then(|rest| rest.split_once('(').map(|(name, _)| name));
            let what = annotation.unwrap_or("text");
            Finding::at(&place, format!("the {what} is still {TO_BE_NAMED}"))
                .with_help("write what only the agency knows in its place")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TEMPLATES;

    #[test]
    fn a_template_is_refused_until_everything_is_named() {
        for template in TEMPLATES {
            let draft =
                template.draft(&"jc3.or.jp".parse().unwrap(), "2027-06-30".parse().unwrap());
            let load = |draft: &[(String, String)]| {
                let files: Vec<_> = draft.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
                load_proposed(&files, &Vocabulary::default())
            };
            let found = load(&draft).unwrap_err();
            assert_eq!(found.len(), draft[0].1.matches(TO_BE_NAMED).count(), "{}", template.name);
            let first = found[0].to_string();
            let line = draft[0].1.lines().position(|line| line.contains(TO_BE_NAMED)).unwrap() + 1;
            let place = format!("jc3.or.jp.cedar:{line}:1: the agreement is still TO BE NAMED");
            assert!(first.starts_with(&place), "{first}");
            let named = draft.map(|(name, text)| (name, text.replace(TO_BE_NAMED, "Named")));
            assert!(load(&named).is_ok(), "{}", template.name);
        }
    }

    #[test]
    fn a_comment_or_an_example_may_speak_of_what_is_to_be_named() {
        let comment = format!("  // {TO_BE_NAMED}: see the handbook\n");
        assert_eq!(unnamed("a.cedar", &comment), []);
        assert_eq!(unnamed("a.test.toml", TO_BE_NAMED), []);
        let condition = format!("  resource.caveat == \"{TO_BE_NAMED}\"");
        assert_eq!(unnamed("a.cedar", &condition)[0].message, "the text is still TO BE NAMED");
    }
}
