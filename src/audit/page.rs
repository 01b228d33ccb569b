//! A report as one page that can be printed and read by somebody who has never seen this program:
//! what was checked, with which key, what was not, and how it came out. It loads nothing.

use super::report::{Report, Verdict};
use crate::ident::AgencyName;
use crate::numerals::grouped;
use std::fmt::{self, Write as _};

const STYLE: &str = "\
body{font:11pt/1.45 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111}\
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.1em;margin:1.6em 0 .4em;border-bottom:1px solid #999}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25em .6em;\
border-bottom:1px solid #ddd}th{width:34%;font-weight:normal;color:#444}thead th{width:auto;color:#111;\
font-weight:bold}.n{text-align:right}code{font:.85em/1.3 monospace;overflow-wrap:anywhere}\
.verdict{border:2px solid;padding:.6em .9em;margin:1em 0;font-size:1.15em}.good{border-color:#161}\
.bad{border-color:#a00;color:#a00}@media print{body{margin:0;max-width:none}h2{break-after:avoid}\
tr{break-inside:avoid}}";

/// The circumstances of an audit that the history does not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// The directory or folder that was verified, as it was named.
    pub source: String,
    /// The program and its version.
    pub program: String,
    /// The time of the audit, for people.
    pub at: String,
}

/// Text that stands for itself in HTML.
struct Safe<T>(T);

impl<T: fmt::Display> fmt::Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            c if c.is_control() => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

impl Report {
    /// The page.
    pub fn to_html(&self, occasion: &Occasion) -> String {
        let agency = self.agency.as_ref().map_or("an unknown agency", AgencyName::as_str);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Verification of the journal of {agency}</title><style>{STYLE}</style></head><body>\n\
             <h1>Verification of the journal of {agency}</h1>\n{}{}{}{}{}{}</body></html>\n",
            self.verdict_box(),
            self.what(occasion),
            self.checked(),
            self.feed_table(),
            self.not_checked(),
            REPEAT,
            agency = Safe(agency),
        )
    }

    fn verdict_box(&self) -> String {
        match (&self.failure, self.verdict()) {
            (Some(failure), _) => format!(
                "<p class=\"verdict bad\"><strong>The history does not hold.</strong> {}.</p>\n\
                 <table>{}{}{}{}</table>\n<p>This is the first thing that is broken. What follows it \
                 was not looked at and proves nothing.</p>\n",
                Safe(&failure.fault.check),
                row("Where", Safe(&failure.place)),
                row("Expected", Safe(&failure.fault.expected)),
                row("Found", Safe(&failure.fault.found)),
                row("Last checkpoint that held", head(self)),
            ),
            (None, Verdict::Sound) => {
                "<p class=\"verdict good\"><strong>The history holds.</strong> \
                 Everything named below was recomputed and compared.</p>\n"
                    .to_owned()
            }
            (None, _) => {
                "<p class=\"verdict good\"><strong>The history holds</strong> in everything \
                 that could be checked. What could not is named below.</p>\n"
                    .to_owned()
            }
        }
    }

    fn what(&self, occasion: &Occasion) -> String {
        let day = |at: Option<crate::ident::Timestamp>| {
            at.map_or_else(|| "none".to_owned(), |at| at.to_string())
        };
        let number = self.number.map_or_else(|| "none".to_owned(), |number| number.to_string());
        let mut text = String::from("<h2>What was verified</h2>\n<table>");
        text += &row("Source", Safe(&occasion.source));
        text += &row("Verified", Safe(format!("{} with {}", occasion.at, occasion.program)));
        text +=
            &row("Time covered", Safe(format!("{} to {}", day(self.first_at), day(self.last_at))));
        text += &row("Agency's number", format!("<code>{}</code>", Safe(number)));
        text += &row("Checkpoint", head(self));
        text + "</table>\n<p>The number stands for the agency's identity key. It is to be compared with \
                the one that the agency reads out; the key signs the agency's cards, and the cards name the \
                keys that signed everything below.</p>\n"
    }

    fn checked(&self) -> String {
        if self.failure.is_some() {
            return String::new();
        }
        let counts = &self.counts;
        let mut text = String::from("<h2>What was checked</h2>\n<table>");
        let mut add = |what: &str, count: u64, how: &str| {
            text += &format!(
                "<tr><th>{what}</th><td class=\"n\">{}</td><td>{how}</td></tr>",
                grouped(count)
            );
        };
        add(
            "Entries of the journal",
            self.checkpoint.size.get(),
            "hashed; together they give the root \
             in the signed checkpoint, so none was altered, removed or put in afterwards; none is dated \
             before the one before it",
        );
        add(
            "Records",
            self.records,
            "every field that is here has the content that its originator \
             committed to",
        );
        add(
            "Signatures on records",
            counts.signatures,
            "hold, under a key on the originator's card",
        );
        add("Cards of the agency", counts.cards, "signed by one identity key, in order");
        add(
            "Feed heads and receipts",
            counts.notes,
            "signed by the agency, receipts by the partner",
        );
        add(
            "Policies",
            counts.policies,
            "put in force in order; their files are those that were named",
        );
        add(
            "Disclosures decided again",
            counts.decided,
            "each was allowed by the policy in force, for \
             that partner, at that hour, with exactly these fields or more",
        );
        if counts.tiles > 0 {
            add("Tiles of the export", counts.tiles, "computed from the entries and compared");
        }
        if let Some(known) = &self.known {
            add("Checkpoint held from before", known.size.get(), "the history continues it");
        }
        text + "</table>\n"
    }

    fn feed_table(&self) -> String {
        if self.feeds.is_empty() || self.failure.is_some() {
            return String::new();
        }
        let mut text = String::from(
            "<h2>What went to whom</h2>\n<table><thead><tr><th>Partner</th><th class=\"n\">Records</th>\
             <th class=\"n\">Entries</th><th class=\"n\">Receipted</th><th class=\"n\">Not taken</th>\
             <th class=\"n\">Received from it</th></tr></thead>",
        );
        for feed in &self.feeds {
            text += &format!("<tr><td>{}</td>", Safe(&feed.name));
            for count in [feed.records, feed.size, feed.receipted, feed.exceptions, feed.received] {
                text += &format!("<td class=\"n\">{}</td>", grouped(count));
            }
            text += "</tr>";
        }
        text + "</table>\n"
    }

    fn not_checked(&self) -> String {
        let mut text = String::from("<h2>What was not checked</h2>\n<ul>");
        if self.known.is_none() {
            text += "<li>Whether entries are missing at the end: only an older checkpoint, held by \
                     somebody else, can show that. None was given.</li>";
        }
        text += "<li>Whether what the records say is true.</li>\
                 <li>Whether a field of references named only records that the partner may see.</li>";
        for remark in &self.remarks {
            text += &format!("<li>{}.</li>", Safe(remark));
        }
        text + "</ul>\n"
    }
}

const REPEAT: &str = "<h2>How to repeat this</h2>\n<p>Anybody with a copy of the source can run \
<code>liaison audit verify SOURCE --identity NUMBER</code>. It needs no network, no secret and no trust in the \
agency. An export can also be checked by a program of another hand, <code>docs/verify_export.py</code>; the \
formats are public.</p>\n";

fn row(name: &str, value: impl fmt::Display) -> String {
    format!("<tr><th>{name}</th><td>{value}</td></tr>")
}

fn head(report: &Report) -> String {
    let head = report.checkpoint;
    format!("{} entries, root <code>{}</code>", grouped(head.size.get()), head.root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, Ending, Expectations};

    #[test]
    fn a_page_names_the_broken_thing_loads_nothing_and_lets_no_markup_in() {
        let report = Audit::new(Expectations::default()).finish(Ending::Whole);
        let page = report.to_html(&Occasion {
            source: "<script>alert(1)</script>".to_owned(),
            program: "liaison 0".to_owned(),
            at: "2026-11-22".to_owned(),
        });
        assert!(page.contains("The history does not hold"), "{page}");
        assert!(page.contains("a journal with a checkpoint"));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        assert!(["http", "src=", "url(", "@import"].iter().all(|word| !page.contains(word)));
    }
}
