//! The manifest of a part: what was asked for, how much of it all is here, and every file with its
//! SHA-256. It can be written in one way only. Nobody signs it: the proofs are what holds.

use crate::audit::feed_name::FeedName;
use crate::ident::{AgencyName, RecordId, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The file that makes a folder a part.
pub const MANIFEST: &str = "part.txt";

const FIRST_LINES: &str = "liaison-part/v1\n\
    This is a part of a journal and not the whole. Every entry that is not listed here was left out,\n\
    as were the files of policies and the feeds that are not named.\n";

/// The selection of entries for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Dated `from` or later and before `to`; an absent time is not a limit.
    Time { from: Option<Timestamp>, to: Option<Timestamp> },
    /// About the case with this reference, or a record that refers to it.
    Case(String),
    /// About this record and its revisions.
    Record(RecordId),
}

impl Selection {
    pub(super) fn has(&self, at: Timestamp) -> bool {
        match self {
            Self::Time { from, to } => {
                from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to)
            }
            Self::Case(_) | Self::Record(_) => false,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |at: &Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        match self {
            Self::Time { from, to } => write!(f, "time {} {}", time(from), time(to)),
            Self::Case(reference) => write!(f, "case {reference}"),
            Self::Record(id) => write!(f, "record {id}"),
        }
    }
}

impl FromStr for Selection {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a time, a case or a record";
        let (word, rest) = text.split_once(' ').ok_or(WRONG)?;
        let time = |text: &str| match text {
            "-" => Ok(None),
            text => text.parse().map(Some).map_err(|_| WRONG),
        };
        match word {
            "time" => {
                let (from, to) = rest.split_once(' ').ok_or(WRONG)?;
                Ok(Self::Time { from: time(from)?, to: time(to)? })
            }
            "case" => Ok(Self::Case(rest.to_owned())),
            "record" => rest.parse().map(Self::Record).map_err(|_| WRONG),
            _ => Err(WRONG),
        }
    }
}

/// A file of a part, in the order of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Checkpoint,
    /// The proof of an entry of the journal, by its index.
    Entry(u64),
    /// The content that this entry only commits to.
    Content(u64),
    /// The proof of an entry of a feed.
    Feed(FeedName, u64),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Entry(index) => write!(f, "journal/{index}.tlog-proof"),
            Self::Content(index) => write!(f, "content/{index}"),
            Self::Feed(feed, index) => write!(f, "feed/{feed}/{index}.tlog-proof"),
        }
    }
}

impl FromStr for Item {
    type Err = &'static str;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a path that a part has";
        let index = |text: &str| text.parse().map_err(|_| WRONG);
        let proof = |text: &str| text.strip_suffix(".tlog-proof").ok_or(WRONG).and_then(index);
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["checkpoint"] => Ok(Self::Checkpoint),
            ["journal", name] => Ok(Self::Entry(proof(name)?)),
            ["content", name] => Ok(Self::Content(index(name)?)),
            ["feed", .., name] => {
                let feed = path.strip_prefix("feed/").and_then(|path| path.rsplit_once('/'));
                Ok(Self::Feed(feed.ok_or(WRONG)?.0.parse()?, proof(name)?))
            }
            _ => Err(WRONG),
        }
    }
}

/// The number of a log's entries that are in the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub here: u64,
    pub of: u64,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.here, self.of)
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "how many of how many";
        let (here, of) = text.split_once(" of ").ok_or(WRONG)?;
        let number = |text: &str| text.parse().map_err(|_| WRONG);
        Ok(Self { here: number(here)?, of: number(of)? })
    }
}

/// The manifest of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) agency: AgencyName,
    pub(super) asked: Selection,
    pub(super) journal: Share,
    pub(super) feeds: BTreeMap<FeedName, Share>,
    /// SHA-256 of each file, in hexadecimal digits.
    pub(super) files: BTreeMap<Item, String>,
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let Self { agency, asked, journal, feeds, files } = self;
        let mut text = format!("{FIRST_LINES}agency {agency}\nasked {asked}\njournal {journal}\n");
        // Writing to a string cannot fail.
        for (partner, share) in feeds {
            let _ = writeln!(text, "feed {partner} {share}");
        }
        text.push('\n');
        for (item, sum) in files {
            let _ = writeln!(text, "{sum}  {item}");
        }
        let sum = sha256(text.as_bytes());
        let _ = writeln!(text, "sha256 {sum}");
        text
    }

    /// Takes exactly what [`Self::to_text`] writes. The error is what was wanted.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let body = text.strip_prefix(FIRST_LINES).ok_or("a manifest of liaison-part/v1")?;
        let (head, files) = body.split_once("\n\n").ok_or("an empty line before the files")?;
        let mut lines = head.split('\n');
        let mut line = |name: &str, wanted| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)).ok_or(wanted)?;
            Ok::<&str, &'static str>(line)
        };
        const AGENCY: &str = "the name of an agency";
        let agency = line("agency ", AGENCY)?.parse().map_err(|_| AGENCY)?;
        let asked = line("asked ", "what was asked for")?.parse()?;
        let journal = line("journal ", "how much of the journal")?.parse()?;
        let feeds = lines.map(|line| {
            let feed = line.strip_prefix("feed ").and_then(|line| line.split_once(' '));
            let (name, share) = feed.ok_or("a feed")?;
            Ok((name.parse()?, share.parse()?))
        });
        let feeds = feeds.collect::<Result<_, &'static str>>()?;
        let end = files.find("sha256 ").ok_or("a sum at the end")?;
        let files = files[..end].lines().map(|line| {
            let (sum, path) = line.split_once("  ").ok_or("a file with its sum")?;
            Ok((path.parse()?, sum.to_owned()))
        });
        let files = files.collect::<Result<_, &'static str>>()?;
        let manifest = Self { agency, asked, journal, feeds, files };
        if manifest.to_text() == text {
            Ok(manifest)
        } else {
            Err("a manifest in its one form, with its own sum at the end")
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(asked: Selection) -> Manifest {
        let feed: FeedName = "cert.example/2".parse().unwrap();
        let items = [
            Item::Checkpoint,
            Item::Entry(9),
            Item::Entry(10),
            Item::Content(10),
            Item::Feed(feed.clone(), 3),
        ];
        Manifest {
            agency: "npa.go.jp".parse().unwrap(),
            asked,
            journal: Share { here: 2, of: 11 },
            feeds: BTreeMap::from([(feed, Share { here: 1, of: 4 })]),
            files: items.into_iter().map(|item| (item, sha256(b"x"))).collect(),
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_went() {
        let at = |text: &str| Some(text.parse().unwrap());
        for asked in [
            Selection::Time { from: at("2026-01-01"), to: None },
            Selection::Time { from: None, to: at("2026-01-01T10:00:00Z") },
            Selection::Case("OP 1187 of 2026".to_owned()),
            Selection::Record(RecordId::from_bytes([7; 32])),
        ] {
            let manifest = sample(asked);
            assert_eq!(Manifest::parse(&manifest.to_text()), Ok(manifest));
        }
    }

    #[test]
    fn every_changed_character_of_a_manifest_is_found() {
        let text = sample(Selection::Case("OP-1".to_owned())).to_text();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Manifest::parse(&String::from_utf8(bytes).unwrap()).is_err(), "{at}");
            assert!(Manifest::parse(&text[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        for path in ["../checkpoint", "journal/../1.tlog-proof", "feed/../1.tlog-proof", "/etc"] {
            assert!(path.parse::<Item>().is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = Manifest::parse(&text);
            let _ = Manifest::parse(&format!("{FIRST_LINES}{text}"));
        }
    }
}
