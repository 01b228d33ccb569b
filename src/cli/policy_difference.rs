//! The difference between two policies, for an officer and a lawyer to read.
//!
//! Says who would newly see what, and why, before it says anything else; never a number without
//! what it counts. Everything here comes from a node and is shown as text only.

use super::names::word_of_number;
use super::schema::{hex, time_text};
use crate::numerals::{counted, grouped};
use crate::pb;

/// Digits of a record id or a hash that are shown; the whole is in the JSON.
pub(super) const SHORT_DIGITS: usize = 12;

/// The first digits of an id or hash.
pub(super) fn short(bytes: &[u8]) -> String {
    hex(bytes).chars().take(SHORT_DIGITS).collect()
}

/// Returns the class of a change, and the approvals that it requires.
pub(super) fn change_text(change: pb::PolicyChange) -> &'static str {
    match change {
        pb::PolicyChange::Narrowing => {
            "NARROWING: nothing is newly shown to anybody; one policy officer is enough"
        }
        pb::PolicyChange::Widening => {
            "WIDENING: another policy officer must approve; whoever proposes it does not count"
        }
        pb::PolicyChange::Revealing => {
            "REVEALING: another policy officer and the data protection officer must approve; \
             whoever proposes it does not count"
        }
        pb::PolicyChange::Unspecified => "unknown",
    }
}

/// The whole difference, `comparison` being the entry of the journal that names it.
pub(super) fn difference_text(difference: &pb::PolicyDifference, comparison: u64) -> String {
    let beside = match difference.base_version {
        0 => "no policy, under which nothing is shown".to_owned(),
        version => format!("version {version} ({})", short(&difference.base_hash)),
    };
    let partners = counted(u64::from(difference.partners_compared), "partner");
    let mut text = format!(
        "bundle      {}\nbeside      {beside}\nlooked at   {} and {partners}, for the hour of {}\n\
         in journal  entry {comparison}\nchange      {}\n",
        short(&difference.bundle_hash),
        counted(difference.records, "record"),
        time_text(difference.at_ms).replace(":00.000Z", "Z"),
        change_text(difference.change()),
    );
    if difference.damaged > 0 {
        text.push_str(&format!(
            "DAMAGED     {} cannot be read and may hold records that no count has; see `liaison status`\n",
            counted(difference.damaged, "entry")
        ));
    }
    if !difference.statements.is_empty() {
        text.push_str("\npolicies that differ\n");
        difference.statements.iter().for_each(|policy| text.push_str(&statement_text(policy)));
    }
    for partner in &difference.partners {
        text.push_str(&partner_text(partner));
    }
    if difference.partners.is_empty() {
        text.push_str("\nno partner would be shown more or less of the records that are here\n");
    }
    text.trim_end().to_owned()
}

fn statement_text(policy: &pb::PolicyStatement) -> String {
    let sort = if policy.permits { "permit" } else { "forbid" };
    let how = match policy.alteration() {
        pb::PolicyAlteration::Added => format!("new {sort}"),
        pb::PolicyAlteration::Changed => format!("changed {sort}"),
        pb::PolicyAlteration::Removed => format!("{sort} taken out"),
        pb::PolicyAlteration::Unspecified => sort.to_owned(),
    };
    let effect = match (policy.reveals, policy.widens) {
        (true, _) => "may reveal sensitive fields",
        (_, true) => "may show more",
        _ => "shows nothing more",
    };
    format!("  {how}: {} \"{}\" ({}); {effect}\n", policy.id, policy.title, policy.place)
}

fn partner_text(partner: &pb::PartnerDifference) -> String {
    let mut text = format!("\n{}", partner.agency);
    if partner.suspended {
        text.push_str(" (not active now; this is what it would be shown once it is)");
    }
    text.push('\n');
    if let Some(shown) = &partner.shown {
        text.push_str(&records_text("newly shown", shown));
        text.push_str(&samples_text(&shown.samples, |sample| {
            format!("permitted by {}", sample.policies.join(", "))
        }));
    }
    if let Some(hidden) = &partner.hidden {
        text.push_str(&records_text("newly hidden", hidden));
        text.push_str(&samples_text(&hidden.samples, why_hidden));
    }
    for class in &partner.revealed {
        let first = if class.first { "; it was shown none of this class before" } else { "" };
        text.push_str(&class_text("newly revealed", class, first));
        text.push_str(&samples_text(&class.samples, |sample| {
            format!("revealed by {}", sample.policies.join(", "))
        }));
    }
    for class in &partner.withheld {
        text.push_str(&class_text("newly withheld", class, ""));
        text.push_str(&samples_text(&class.samples, why_hidden));
    }
    if !partner.may_reveal.is_empty() {
        text.push_str(&format!(
            "  may reveal: fields of class {} of records to come; it is shown none of them now\n",
            partner.may_reveal.join(", ")
        ));
    }
    if partner.erred > 0 {
        text.push_str(&format!(
            "  withheld because a policy of this bundle cannot be evaluated on them: {}\n",
            counted(partner.erred, "record")
        ));
    }
    text
}

fn why_hidden(sample: &pb::PolicySample) -> String {
    if sample.policies.is_empty() {
        format!("no longer permitted by {}", sample.policies_before.join(", "))
    } else {
        format!("forbidden by {}", sample.policies.join(", "))
    }
}

fn personal(records: u64) -> String {
    match records {
        0 => ", none with personal data".to_owned(),
        some => format!(", {} with personal data", grouped(some)),
    }
}

fn records_text(what: &str, found: &pb::RecordDifference) -> String {
    let by = |counts: &[pb::Count]| {
        let each = counts.iter().map(|count| format!("{} {}", grouped(count.count), count.name));
        each.collect::<Vec<_>>().join(", ")
    };
    format!(
        "  {what}: {}{}\n    by kind: {}\n    by TLP: {}\n",
        counted(found.records, "record"),
        personal(found.personal_data),
        by(&found.kinds),
        by(&found.tlp),
    )
}

fn class_text(what: &str, class: &pb::ClassDifference, remark: &str) -> String {
    format!(
        "  {what}: fields of class {} of {}{}{remark}\n",
        class.class,
        counted(class.records, "record"),
        personal(class.personal_data),
    )
}

fn samples_text(samples: &[pb::PolicySample], why: impl Fn(&pb::PolicySample) -> String) -> String {
    // The whole id, because whoever wonders about a record asks for it next.
    let line = |sample: &pb::PolicySample| {
        let pb::PolicySample { kind, tlp, .. } = sample;
        let id = hex(&sample.record_id);
        format!("    for instance {id}\n      {kind}, TLP:{tlp}, {}\n", why(sample))
    };
    samples.iter().map(line).collect()
}

/// A difference in one line: `+1,100 records to 2 partners, -0; reveals notes, links`.
pub(super) fn in_short(newly_shown: u64, newly_hidden: u64, revealed: &[String]) -> String {
    let mut text = format!("+{} −{}", grouped(newly_shown), grouped(newly_hidden));
    if !revealed.is_empty() {
        text.push_str(&format!(", reveals {}", revealed.join(", ")));
    }
    text
}

/// The word for a change from the wire.
pub(super) fn change_word(number: i32) -> String {
    word_of_number::<pb::PolicyChange>(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(policies: &[&str], before: &[&str]) -> pb::PolicySample {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        pb::PolicySample {
            record_id: vec![0xab; 32].into(),
            kind: "indicator".into(),
            tlp: "AMBER".into(),
            policies: list(policies),
            policies_before: list(before),
        }
    }

    fn records(count: u64, samples: Vec<pb::PolicySample>) -> pb::RecordDifference {
        let of = |name: &str| vec![pb::Count { name: name.into(), count }];
        pb::RecordDifference {
            records: count,
            personal_data: 40,
            kinds: of("indicator"),
            tlp: of("AMBER"),
            samples,
        }
    }

    #[test]
    fn an_officer_reads_who_newly_sees_what_and_by_which_policy() {
        let difference = pb::PolicyDifference {
            bundle_hash: vec![1; 32].into(),
            base_hash: vec![2; 32].into(),
            base_version: 3,
            records: 68_296,
            partners_compared: 3,
            at_ms: 1_763_834_400_000,
            change: pb::PolicyChange::Revealing.into(),
            statements: vec![pb::PolicyStatement {
                alteration: pb::PolicyAlteration::Changed.into(),
                id: "npa/cert-green".into(),
                title: "CERTs get more".into(),
                place: "10-sharing.cedar:61".into(),
                permits: true,
                widens: true,
                reveals: false,
            }],
            partners: vec![pb::PartnerDifference {
                agency: "jc3.or.jp".into(),
                suspended: true,
                shown: Some(records(1_100, vec![sample(&["npa/cert-amber"], &[])])),
                hidden: Some(records(1, vec![sample(&[], &["npa/cert-green"])])),
                revealed: vec![pb::ClassDifference {
                    class: "notes".into(),
                    records: 1_100,
                    personal_data: 0,
                    first: true,
                    samples: vec![],
                }],
                withheld: vec![],
                may_reveal: vec!["victim".into()],
                erred: 0,
            }],
            ..pb::PolicyDifference::default()
        };
        assert_eq!(
            difference_text(&difference, 17),
            format!(
                "bundle      010101010101\n\
             beside      version 3 (020202020202)\n\
             looked at   68,296 records and 3 partners, for the hour of 2025-11-22T18:00Z\n\
             in journal  entry 17\n\
             change      REVEALING: another policy officer and the data protection officer must \
             approve; whoever proposes it does not count\n\
             \n\
             policies that differ\n  \
               changed permit: npa/cert-green \"CERTs get more\" (10-sharing.cedar:61); may show more\n\
             \n\
             jc3.or.jp (not active now; this is what it would be shown once it is)\n  \
               newly shown: 1,100 records, 40 with personal data\n    \
                 by kind: 1,100 indicator\n    \
                 by TLP: 1,100 AMBER\n    \
                 for instance {id}\n      indicator, TLP:AMBER, permitted by npa/cert-amber\n  \
               newly hidden: 1 record, 40 with personal data\n    \
                 by kind: 1 indicator\n    \
                 by TLP: 1 AMBER\n    \
                 for instance {id}\n      indicator, TLP:AMBER, no longer permitted by \
             npa/cert-green\n  \
               newly revealed: fields of class notes of 1,100 records, none with personal data; it \
             was shown none of this class before\n  \
               may reveal: fields of class victim of records to come; it is shown none of them now",
                id = "ab".repeat(32),
            )
        );
    }

    #[test]
    fn a_bundle_that_changes_nothing_says_so() {
        let difference = pb::PolicyDifference {
            change: pb::PolicyChange::Narrowing.into(),
            damaged: 2,
            ..pb::PolicyDifference::default()
        };
        let text = difference_text(&difference, 9);
        assert!(text.contains("\nDAMAGED     2 entries cannot be read"), "{text}");
        assert!(text.contains("beside      no policy, under which nothing is shown"), "{text}");
        assert!(text.contains("one policy officer is enough"), "{text}");
        assert!(text.ends_with("of the records that are here"), "{text}");
    }
}
