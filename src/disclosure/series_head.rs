//! A series as the index lists it: its newest revision, and its records where it has more than one.

use crate::ident::RecordId;
use crate::record::header::Header;
use crate::record::kind::Kind;

/// The newest revision of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesHead {
    pub revision: u32,
    pub id: RecordId,
    pub kind: Kind,
    /// Two revisions of the series name the same predecessor.
    pub conflicting: bool,
    /// Slots of it were erased on a ground that keeps them from coming back.
    pub barred: bool,
    /// The fingerprint of the newest revision, of own records only.
    pub fingerprint: Option<[u8; 32]>,
}

impl SeriesHead {
    /// The head after another revision was accepted. The fingerprint is that of the revision, if it
    /// is one of this node's own agency.
    pub fn after(
        head: Option<Self>,
        header: &Header,
        id: RecordId,
        fingerprint: Option<[u8; 32]>,
    ) -> Self {
        let fresh = Self {
            revision: header.revision,
            id,
            kind: header.kind,
            conflicting: head.is_some_and(|head| head.conflicting),
            barred: head.is_some_and(|head| head.barred),
            fingerprint,
        };
        match head {
            Some(head) if head.revision > header.revision => head,
            Some(head) if head.revision == header.revision && head.id != fresh.id => {
                Self { conflicting: true, ..head }
            }
            _ => fresh,
        }
    }

    pub fn is_withdrawn(&self) -> bool {
        self.kind == Kind::Withdrawal
    }
}

/// A record of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The entry that accepted it.
    pub journal_index: u64,
    pub revision: u32,
    pub kind: Kind,
    pub id: RecordId,
}

/// The newest of records of one series: more than one only where they have the same revision number.
pub fn newest(members: &[Member]) -> impl Iterator<Item = &Member> {
    let last = members.iter().map(|member| member.revision).max();
    members.iter().filter(move |member| Some(member.revision) == last)
}
