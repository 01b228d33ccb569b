//! Text files whose line ends were changed on their way to the auditor, by a mail program or by git.
//!
//! It explains a refusal that was decided without it, and takes none back.

use super::failure::{Check, Fault};
use super::policy::bundle_hash;
use super::replay::BundleFiles;
use crate::ident::BundleHash;

/// The fault of a text in which every line ends with CR LF, as no file of the program does; `None` for other
/// bytes.
pub fn changed_line_ends(bytes: &[u8]) -> Option<Fault> {
    let line_feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
    let pairs = bytes.windows(2).filter(|pair| **pair == *b"\r\n").count();
    let is_changed = line_feeds > 0 && line_feeds == pairs && std::str::from_utf8(bytes).is_ok();
    is_changed.then(|| fault("CR LF at the end of every line"))
}

/// The same where the bytes that were written are known by a hash, which `is_wanted` compares.
pub(super) fn changed_from(bytes: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Option<Fault> {
    is_wanted(&with_line_feeds(bytes)).then(|| fault("CR LF where LF stood"))
}

/// The first file of a policy whose line ends were changed, if nothing else was. A policy may have been written
/// with CR LF, so the files must lead to its hash without.
pub(super) fn changed_policy(files: &BundleFiles, wanted: BundleHash) -> Option<(&str, Fault)> {
    let before: BundleFiles =
        files.iter().map(|(name, text)| (name.clone(), with_line_feeds(text))).collect();
    let name = files.iter().find(|(name, text)| before.get(*name) != Some(*text))?.0;
    (bundle_hash(&before) == wanted).then(|| (&name[..], fault("CR LF where LF stood")))
}

fn fault(found: &str) -> Fault {
    Fault::new(Check::LineEnds, "LF at the end of each line, as it was written", found)
}

fn with_line_feeds(bytes: &[u8]) -> Vec<u8> {
    let followed = bytes.iter().zip(bytes.iter().skip(1).map(Some).chain([None]));
    let is_kept = |(byte, next): &(&u8, Option<&u8>)| (**byte, *next) != (b'\r', Some(&b'\n'));
    followed.filter(is_kept).map(|(byte, _)| *byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_alone_whose_every_line_ends_with_a_carriage_return_is_named() {
        assert!(changed_line_ends(b"a\r\nb\r\n").is_some());
        assert!(changed_line_ends(b"a\r\nb").is_some());
        for other in [&b""[..], b"a", b"a\n", b"a\r\nb\n", b"a\r", b"\n\r\n", b"\xff\r\n"] {
            assert_eq!(changed_line_ends(other), None, "{other:?}");
        }
        assert_eq!(with_line_feeds(b"\ra\r\r\n\r\nb\r"), b"\ra\r\n\nb\r");
    }

    #[test]
    fn a_policy_that_was_written_with_carriage_returns_is_not_taken_for_a_changed_one() {
        let files = |texts: [&str; 2]| -> BundleFiles {
            let named = ["a.cedar", "b.cedar"].into_iter().zip(texts);
            named.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect()
        };
        let written = files(["x\r\n", "y\n"]);
        let altered = files(["x\r\n", "z\n"]);
        assert_eq!(changed_policy(&altered, bundle_hash(&written)), None);
        let (written, changed) = (files(["x\n", "y\n"]), files(["x\n", "y\r\n"]));
        let (name, fault) = changed_policy(&changed, bundle_hash(&written)).unwrap();
        assert_eq!((name, fault.check), ("b.cedar", Check::LineEnds));
    }
}
