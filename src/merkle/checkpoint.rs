//! The checkpoint of a log (C2SP tlog-checkpoint): its origin, size and root hash, as the text of a
//! note.
//!
//! Three lines: origin, tree size, root hash. Extension lines are refused: ML-DSA-44 cosignatures
//! do not cover them, so they could differ under one set of signatures. A [`Checkpoint`] carries no
//! signature; see [`super::SignedCheckpoint`]. That a tree of size 0 has the empty root is the
//! business of whoever judges the log, because a signed one that has not is evidence.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::hash::{TREE_SIZE_MAX, TreeHead};
use super::key::NoteKeyName;
use super::lines;
use super::note::NoteText;
use crate::ident::{TreeHash, TreeSize};

/// Longest origin in bytes, for the same reason as that of a key name.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// The reason why a text is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("an origin has 1 to {ORIGIN_BYTES_MAX} bytes, found {0}")]
    OriginLength(usize),
    #[error("control character in origin {0:?}")]
    OriginForm(String),
    #[error("a checkpoint has 3 lines and no extension, found {0}")]
    Lines(usize),
    #[error("{0:?} is not a tree size in decimal without leading zeros, at most {TREE_SIZE_MAX}")]
    Size(String),
    #[error("{0:?} is not the canonical base64 of a root hash")]
    Root(String),
}

/// The unique name of a log; for a log of a liaison node also the name of its key. One line of 1 to
/// 255 bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(Arc<str>);

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        if text.is_empty() || text.len() > ORIGIN_BYTES_MAX {
            return Err(CheckpointError::OriginLength(text.len()));
        }
        if text.chars().any(|c| c < ' ') {
            return Err(CheckpointError::OriginForm(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl From<&NoteKeyName> for Origin {
    fn from(name: &NoteKeyName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A log's statement "my tree of this size has this root", unsigned. The size is at most
/// [`TREE_SIZE_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    origin: Origin,
    head: TreeHead,
}

impl Checkpoint {
    pub fn new(origin: Origin, head: TreeHead) -> Result<Self, CheckpointError> {
        if head.size > TREE_SIZE_MAX {
            return Err(CheckpointError::Size(head.size.to_string()));
        }
        Ok(Self { origin, head })
    }

    /// Reads the text of a note. What it accepts, [`Checkpoint::to_text`] gives back byte for byte.
    pub fn parse(text: &NoteText) -> Result<Self, CheckpointError> {
        let lines: Vec<&str> = text.as_str().lines().collect();
        let [origin, size, root] = lines[..] else {
            return Err(CheckpointError::Lines(lines.len()));
        };
        let size = lines::decimal(size).ok_or_else(|| CheckpointError::Size(size.to_owned()))?;
        let root = lines::hash(root).ok_or_else(|| CheckpointError::Root(root.to_owned()))?;
        let head = TreeHead { size: TreeSize::new(size), root };
        Self::new(origin.parse()?, head)
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub fn head(&self) -> TreeHead {
        self.head
    }

    pub fn size(&self) -> TreeSize {
        self.head.size
    }

    pub fn root(&self) -> TreeHash {
        self.head.root
    }

    pub fn to_text(&self) -> NoteText {
        NoteText::new(self.to_string())
            .expect("an origin is short and has no control characters, the other lines are ASCII")
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = lines::hash_line(&self.head.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.head.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=";

    fn parse(text: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::parse(&NoteText::new(text.to_owned()).unwrap())
    }

    #[test]
    fn only_the_three_lines_are_a_checkpoint() {
        assert!(parse(&format!("o\n0\n{ROOT}\n")).is_ok());
        assert!(parse(&format!("go.sum database tree\n15\n{ROOT}\n")).is_ok());
        for bad in [
            format!("o\n15\n{ROOT}\nextension\n"),
            format!("o\n15\n{ROOT}\n\n"),
            format!("\n15\n{ROOT}\n"),
            format!("\no\n15\n{ROOT}\n"),
            format!("{}\n15\n{ROOT}\n", "o".repeat(ORIGIN_BYTES_MAX + 1)),
            "o\n15\n".to_owned(),
            "o\n15\n\n".to_owned(),
            "\n".to_owned(),
            format!("o\n15\n{}\n", &ROOT[..43]),
            format!("o\n15\n {ROOT}\n"),
            // The last digit carries bits beyond the 32 bytes.
            format!("o\n15\n{}t=\n", &ROOT[..42]),
            "o\n15\nAAAA\n".to_owned(),
            format!("o\n15\n{ROOT}{ROOT}\n"),
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_plain_decimals_up_to_the_maximum() {
        let size = |text: &str| parse(&format!("o\n{text}\n{ROOT}\n")).map(|c| c.size().get());
        assert_eq!(size("9223372036854775807"), Ok(TREE_SIZE_MAX.get()));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_000",
            "0x1",
            "١",
            "9223372036854775808",
            "18446744073709551616",
            "1e3",
        ] {
            assert_eq!(size(bad), Err(CheckpointError::Size(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_checkpoint_prints_and_parses_back(
            origin in "[^\\p{Cc}]{1,60}", size in 0..=TREE_SIZE_MAX.get(), root: [u8; 32],
        ) {
            let head = TreeHead { size: TreeSize::new(size), root: TreeHash::from_bytes(root) };
            let checkpoint = Checkpoint::new(origin.parse().unwrap(), head).unwrap();
            let text = checkpoint.to_text();
            prop_assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
        }

        #[test]
        fn whatever_parses_prints_back(
            size in 0..2_000_u64, at: prop::sample::Index, with in "[0-9a-zA-Z+=\n ]",
        ) {
            let mut text = format!("npa.go.jp/journal\n{size}\n{ROOT}\n");
            let at = at.index(text.len() - 1);
            text.replace_range(at..=at, &with);
            if let Ok(checkpoint) = parse(&text) {
                prop_assert_eq!(checkpoint.to_string(), text);
            }
        }
    }
}
