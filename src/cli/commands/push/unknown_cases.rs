//! The warning about results under a reference that no case here has.
//!
//! Results keep such a reference: the case may come later, or the reference is mistyped. So it never
//! stops a push.

use std::collections::BTreeSet;

use tonic::transport::Channel;

use crate::cli::commands::case;
use crate::cli::context::Context;
use crate::pb;

/// References that are looked up. Each lookup costs the node a walk over its cases, and people read no
/// longer list.
const REFERENCES_MAX: usize = 64;

/// The case references of the results that the node took in this run; not those of rows that an
/// interrupted run before it settled.
#[derive(Debug, Default)]
pub(super) struct CaseReferences {
    found: BTreeSet<String>,
    is_full: bool,
}

impl CaseReferences {
    pub(super) fn add(&mut self, reference: &str) {
        if self.found.contains(reference) {
            return;
        }
        if self.found.len() >= REFERENCES_MAX {
            self.is_full = true;
        } else {
            self.found.insert(reference.to_owned());
        }
    }
}

/// Returns the reference of a takedown result's case, if it has one.
pub(super) fn reference_of(draft: &pb::Draft) -> Option<String> {
    match &draft.content {
        Some(pb::draft::Content::TakedownResult(result)) => {
            Some(result.case_reference.clone()).filter(|reference| !reference.is_empty())
        }
        _ => None,
    }
}

/// Warns on stderr about references that no case has. A role that may not read cases gets no
/// warning.
pub(super) async fn warn(references: &CaseReferences, channel: &Channel, context: &Context) {
    let mut unknown = Vec::new();
    for reference in &references.found {
        match case::is_recorded(reference, channel.clone(), context).await {
            Ok(true) => {}
            Ok(false) => unknown.push(reference.as_str()),
            Err(_) => return,
        }
    }
    if let Some(text) = warning(&unknown, references.is_full) {
        context.output.note(&text);
    }
}

fn warning(unknown: &[&str], is_full: bool) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    let listed: Vec<String> = unknown.iter().map(|reference| format!("{reference:?}")).collect();
    let rest = if is_full {
        format!(" (only the first {REFERENCES_MAX} references were looked up)")
    } else {
        String::new()
    };
    Some(format!(
        "warning: no case here has the reference {}{rest}; the results keep it. If it is mistyped, push \
         again with the right one; else record the case with liaison case create",
        listed.join(" or ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_names_each_unknown_reference_once_and_the_limit() {
        let mut references = CaseReferences::default();
        for number in 0..REFERENCES_MAX {
            references.add(&format!("OP-{number}"));
            references.add(&format!("OP-{number}"));
        }
        assert!(!references.is_full);
        references.add("one more");
        assert!(references.is_full && references.found.len() == REFERENCES_MAX);
        assert_eq!(warning(&[], true), None);
        let text = warning(&["OP-1", "OP-2"], true).unwrap();
        assert!(text.contains("the reference \"OP-1\" or \"OP-2\" (only the first 64"), "{text}");
        assert!(!warning(&["OP-1"], false).unwrap().contains("only the first"));
    }
}
