//! The name of a feed among those of one agency: to whom, and of which generation. It stands in paths
//! and manifests as the end of the feed's origin does.

use crate::ident::{AgencyName, Generation};
use std::fmt;
use std::str::FromStr;

/// A feed of the agency whose history it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedName {
    pub partner: AgencyName,
    pub generation: Generation,
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.partner.fmt(f)?;
        if self.generation == Generation::FIRST {
            Ok(())
        } else {
            write!(f, "/{}", self.generation)
        }
    }
}

impl FromStr for FeedName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "the name of an agency, with the generation of its feed from the second on";
        let (partner, generation) = match text.split_once('/') {
            Some((partner, number)) => {
                (partner, number.parse().ok().and_then(|number| Generation::new(number).ok()))
            }
            None => (text, Some(Generation::FIRST)),
        };
        let partner = partner.parse().map_err(|_| WRONG)?;
        let name = Self { partner, generation: generation.ok_or(WRONG)? };
        if name.to_string() == text { Ok(name) } else { Err(WRONG) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_has_one_name() {
        for name in ["cert.example", "cert.example/2", "cert.example/64"] {
            assert_eq!(name.parse::<FeedName>().unwrap().to_string(), name);
        }
        for other in
            ["cert", "cert.example/", "cert.example/1", "cert.example/02", "cert.example/65"]
        {
            assert!(other.parse::<FeedName>().is_err(), "{other}");
        }
    }
}
