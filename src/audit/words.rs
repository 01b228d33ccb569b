//! Slots, heads and differences of times in words, for findings and reports.

use crate::merkle::TreeHead;

/// Slots of a mask for people.
pub(super) fn slots(mask: u32) -> String {
    let numbers: Vec<String> =
        (0..32).filter(|bit| mask & 1 << bit != 0).map(|bit: u32| bit.to_string()).collect();
    if numbers.is_empty() { "no slots".to_owned() } else { format!("slots {}", numbers.join(" ")) }
}

pub(super) fn shown(head: TreeHead) -> String {
    format!("size {} root {}", head.size, head.root)
}

/// A difference of times for people.
pub(super) fn in_words(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}
