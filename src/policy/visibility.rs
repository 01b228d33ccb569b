//! The visibility for a local client: what it may see of a record, of the journal and of the partners.
//!
//! The access policy decides which rpc a role may call. This decides what goes out of any of them, by
//! the role, the name of the client and the status of the record, for every way out alike. Whatever a
//! client may not see looks to it as if it were not there.

use super::access::ClientRole;
use crate::record::marking::Tlp;

/// A client, as far as visibility depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visibility {
    role: ClientRole,
    client: String,
}

/// A record, as far as visibility depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordStatus<'a> {
    /// It is under a hold.
    pub restricted: bool,
    /// It was taken back by the partner that gave it.
    pub retracted: bool,
    pub tlp: Tlp,
    /// The local client that submitted it; empty for one that a partner gave.
    pub submitted_by: &'a str,
}

/// The part of a record that a client may see. Erased slots are in none of them: their bytes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VisiblePart {
    /// Not even that it is here.
    Nothing,
    /// Its header and its status; every slot is withheld.
    Header,
    /// All that is here.
    Content,
}

/// A leaf of a log, as far as visibility depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// The acceptance of a record that this client submitted; empty for one that a partner gave.
    Acceptance(&'a str),
    /// Any other entry of the journal.
    Event,
    /// An entry of a feed.
    Feed,
}

impl Visibility {
    pub fn new(role: ClientRole, client: &str) -> Self {
        Self { role, client: client.to_owned() }
    }

    /// Returns what the client may see of a record. Auditors and policy officers see all that is here. An
    /// analyst sees the header of what is under a hold or retracted, and of a TLP:RED record that another
    /// client submitted: it is for the eyes of individuals. The other roles read no records.
    pub fn of_record(&self, record: &RecordStatus<'_>) -> VisiblePart {
        let sealed = record.restricted || record.retracted;
        let is_own = !record.submitted_by.is_empty() && record.submitted_by == self.client;
        match self.role {
            ClientRole::Auditor | ClientRole::PolicyOfficer => VisiblePart::Content,
            ClientRole::Analyst if sealed => VisiblePart::Header,
            ClientRole::Analyst if record.tlp == Tlp::Red && !is_own => VisiblePart::Header,
            ClientRole::Analyst => VisiblePart::Content,
            ClientRole::VendorTool | ClientRole::DataProtectionOfficer | ClientRole::Admin => {
                VisiblePart::Nothing
            }
        }
    }

    /// Returns whether the client may replace a record by a revision or withdraw it. A TLP:RED record is for
    /// the client that submitted it: nobody else takes it over who may not even see it.
    pub fn may_replace(&self, record: &RecordStatus<'_>) -> bool {
        let is_own = !record.submitted_by.is_empty() && record.submitted_by == self.client;
        record.tlp != Tlp::Red || is_own || self.of_record(record) == VisiblePart::Content
    }

    /// Returns whether a record counts in totals and time lines: nobody uses what is sealed, and of a
    /// TLP:RED record not even a number goes to those who may not see it.
    pub fn counts(&self, record: &RecordStatus<'_>) -> bool {
        let sealed = record.restricted || record.retracted;
        let is_visible = self.of_record(record) == VisiblePart::Content;
        !sealed && (record.tlp != Tlp::Red || is_visible)
    }

    /// Returns whether the client may see the bytes of a leaf. Auditors read the whole journal; analysts
    /// the headers of records and the feeds; a vendor tool the headers of what it submitted itself.
    pub fn of_leaf(&self, leaf: Leaf<'_>) -> bool {
        match (self.role, leaf) {
            (ClientRole::Auditor, _) => true,
            (ClientRole::Analyst, Leaf::Acceptance(_) | Leaf::Feed) => true,
            (ClientRole::VendorTool, Leaf::Acceptance(client)) => {
                !client.is_empty() && client == self.client
            }
            _ => false,
        }
    }

    /// Returns whether the client may learn which partners this node has.
    pub const fn names_partners(&self) -> bool {
        !matches!(self.role, ClientRole::VendorTool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: RecordStatus<'_> =
        RecordStatus { restricted: false, retracted: false, tlp: Tlp::Amber, submitted_by: "sato" };

    fn of(role: ClientRole, record: RecordStatus<'_>) -> VisiblePart {
        Visibility::new(role, "tanaka").of_record(&record)
    }

    #[test]
    fn auditors_and_policy_officers_see_everything_and_analysts_the_header_of_what_is_sealed() {
        let sealed = [
            RecordStatus { restricted: true, ..PLAIN },
            RecordStatus { retracted: true, ..PLAIN },
            RecordStatus { tlp: Tlp::Red, ..PLAIN },
        ];
        for record in sealed {
            assert_eq!(of(ClientRole::Auditor, record), VisiblePart::Content);
            assert_eq!(of(ClientRole::PolicyOfficer, record), VisiblePart::Content);
            assert_eq!(of(ClientRole::Analyst, record), VisiblePart::Header, "{record:?}");
        }
        assert_eq!(of(ClientRole::Analyst, PLAIN), VisiblePart::Content);
    }

    #[test]
    fn a_red_record_is_for_the_client_that_submitted_it_and_its_hold_seals_it_from_him_too() {
        let red = RecordStatus { tlp: Tlp::Red, submitted_by: "tanaka", ..PLAIN };
        assert_eq!(of(ClientRole::Analyst, red), VisiblePart::Content);
        let held = RecordStatus { restricted: true, ..red };
        assert_eq!(of(ClientRole::Analyst, held), VisiblePart::Header);
        let nobodys = RecordStatus { submitted_by: "", ..red };
        assert_eq!(
            Visibility::new(ClientRole::Analyst, "").of_record(&nobodys),
            VisiblePart::Header
        );
    }

    #[test]
    fn a_red_record_is_replaced_by_the_client_that_submitted_it_alone() {
        for role in [ClientRole::Analyst, ClientRole::VendorTool] {
            let may = |record| Visibility::new(role, "tanaka").may_replace(&record);
            assert!(may(PLAIN), "{role}");
            let red = RecordStatus { tlp: Tlp::Red, ..PLAIN };
            assert!(!may(red), "{role}");
            assert!(!may(RecordStatus { submitted_by: "", ..red }), "{role}");
            assert!(may(RecordStatus { submitted_by: "tanaka", ..red }), "{role}");
        }
    }

    #[test]
    fn roles_that_read_no_records_see_none() {
        for role in [ClientRole::VendorTool, ClientRole::DataProtectionOfficer, ClientRole::Admin] {
            assert_eq!(of(role, PLAIN), VisiblePart::Nothing, "{role}");
            let own = RecordStatus { submitted_by: "tanaka", ..PLAIN };
            assert_eq!(of(role, own), VisiblePart::Nothing, "{role}");
        }
    }

    #[test]
    fn totals_leave_out_what_is_sealed_for_everybody_and_what_is_red_for_most() {
        let counts = |role, record| Visibility::new(role, "tanaka").counts(&record);
        let red = RecordStatus { tlp: Tlp::Red, ..PLAIN };
        for role in ClientRole::ALL {
            assert!(counts(role, PLAIN), "{role}");
            assert!(!counts(role, RecordStatus { restricted: true, ..PLAIN }), "{role}");
            assert!(!counts(role, RecordStatus { retracted: true, ..PLAIN }), "{role}");
            let sees_red = matches!(role, ClientRole::Auditor | ClientRole::PolicyOfficer);
            assert_eq!(counts(role, red), sees_red, "{role}");
        }
    }

    #[test]
    fn only_an_auditor_reads_entries_that_are_not_about_records() {
        for role in ClientRole::ALL {
            let visibility = Visibility::new(role, "tool");
            let is_auditor = role == ClientRole::Auditor;
            assert_eq!(visibility.of_leaf(Leaf::Event), is_auditor, "{role}");
            let reads = is_auditor || role == ClientRole::Analyst;
            assert_eq!(visibility.of_leaf(Leaf::Acceptance("sato")), reads, "{role}");
            assert_eq!(visibility.of_leaf(Leaf::Acceptance("")), reads, "{role}");
            assert_eq!(visibility.of_leaf(Leaf::Feed), reads, "{role}");
            let own = reads || role == ClientRole::VendorTool;
            assert_eq!(visibility.of_leaf(Leaf::Acceptance("tool")), own, "{role}");
        }
    }

    #[test]
    fn a_vendor_tool_learns_no_partner() {
        for role in ClientRole::ALL {
            let names = Visibility::new(role, "x").names_partners();
            assert_eq!(names, role != ClientRole::VendorTool, "{role}");
        }
    }
}
