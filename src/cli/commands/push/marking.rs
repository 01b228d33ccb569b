//! The marking of a row: the flags of the command, with the cells of the row over them.
//!
//! A tag that is itself a label (`tlp:red`, as MISP writes it) must agree with the marking; nothing is
//! sent more openly than any part of the row says.

use std::str::FromStr;

use super::columns::Field;
use super::lists;
use super::row::Refusal;
use super::template::{RowCells, parse_country, parse_time};
use crate::cli::names::{self, WireEnum};
use crate::ident::{AgencyName, Timestamp};
use crate::pb;
use crate::record::marking::Handling;
use crate::record::personal;
use crate::value::ValueType;
use unicode_normalization::UnicodeNormalization as _;

/// The word for a list with nobody in it.
const NOBODY: &str = "nobody";

/// The handling rules of all rows.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "Handling rules; a cell of the column of that name wins over its flag"
)]
pub(super) struct MarkingArgs {
    /// TLP label: clear, green, amber, amber-strict, red. Needed unless there is a column tlp.
    #[arg(long, value_parser = names::parse::<pb::Tlp>)]
    pub(super) tlp: Option<pb::Tlp>,
    /// PAP label: clear, green, amber, red. By default the colour of the TLP label.
    #[arg(long, value_parser = names::parse::<pb::Pap>)]
    pub(super) pap: Option<pb::Pap>,
    /// Agencies that may have the rows, separated by commas, or nobody; by default no such list.
    #[arg(long, value_name = "AGENCIES")]
    pub(super) releasable_to: Option<NameList<AgencyName>>,
    /// Circles that may have the rows, separated by commas, or nobody; by default no such list.
    #[arg(long, value_name = "CIRCLES")]
    pub(super) circles: Option<NameList<String>>,
    /// Handling code: H0, H1 (not in proceedings without your permission), H2 (not passed on without
    /// it); may be repeated. H3 is --caveat.
    #[arg(long, value_name = "CODE", value_parser = parse_handling)]
    pub(super) handling: Vec<Handling>,
    /// A restriction in words (H3): receivers pass none of the rows on automatically.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) caveat: String,
    /// The rows hold personal data: yes or no. By default yes for telephone numbers, e-mail addresses,
    /// bank accounts and accounts at services, and no for all other types; no states that such a value is
    /// not a person's.
    #[arg(long, value_name = "YES|NO", value_parser = parse_flag)]
    pub(super) personal_data: Option<bool>,
    /// Countries that personal data may go to, two letters each, separated by commas. Rows without personal
    /// data are sent without them; in a column they are refused there.
    #[arg(long, value_name = "COUNTRIES")]
    pub(super) jurisdictions: Option<CountryList>,
    /// The time after which the rows are not sent to anybody. The column valid_until is something
    /// else: the time until which the value itself is of use.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) expires: Option<Timestamp>,
    /// The time after which every holder erases the content.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) retain_until: Option<Timestamp>,
    /// Those affected must not be notified.
    #[arg(long)]
    pub(super) no_notify: bool,
    /// Your agency must not be named as the source.
    #[arg(long)]
    pub(super) no_attribution: bool,
    /// Grading of source and information, such as admiralty:B2, europol:A1 or uk-3x5x2:1A.
    #[arg(long, value_name = "SCHEME:GRADE")]
    pub(super) grading: Option<GradingText>,
}

impl MarkingArgs {
    /// The marking of one row whose value is of this type.
    pub(super) fn of_row(
        &self,
        row: &RowCells,
        value_type: ValueType,
    ) -> Result<pb::Marking, Refusal> {
        let tlp = row.word(Field::Tlp)?.or(self.tlp);
        let tlp = tlp.ok_or_else(|| Refusal::new("tlp", "there is no TLP label"))?;
        let pap = row.word(Field::Pap)?.or(self.pap).unwrap_or_else(|| pap_like(tlp));
        let handling = row.parsed(Field::Handling, |text| lists::parsed(text, parse_handling))?;
        let handling = handling.as_deref().unwrap_or(&self.handling);
        let stated = row.parsed(Field::PersonalData, parse_flag)?.or(self.personal_data);
        let is_personal_by_type = personal::of_value(value_type).is_some();
        let personal_data = stated.unwrap_or(is_personal_by_type);
        let jurisdictions = self.jurisdictions_of(row, personal_data)?;
        let releasable_to = row.parsed(Field::ReleasableTo, NameList::from_str)?;
        let releasable_to = releasable_to.as_ref().or(self.releasable_to.as_ref());
        let circles = row.parsed(Field::Circles, NameList::from_str)?;
        let circles = circles.as_ref().or(self.circles.as_ref());
        let flag = |field, constant| Ok(row.parsed(field, parse_flag)?.unwrap_or(constant));
        let grading = row.parsed(Field::Grading, GradingText::from_str)?;
        let expires = row.parsed(Field::Expires, parse_time)?.or(self.expires);
        let retain_until = row.parsed(Field::RetainUntil, parse_time)?.or(self.retain_until);
        Ok(pb::Marking {
            tlp: tlp.into(),
            pap: pap.into(),
            releasable_to: releasable_to.map(|list| pb::AgencyList {
                agencies: list.0.iter().map(ToString::to_string).collect(),
            }),
            circles: circles.map(|list| pb::CircleList { circles: list.0.clone() }),
            orcon: handling.contains(&Handling::H2),
            no_evidence: handling.contains(&Handling::H1),
            no_notify: flag(Field::NoNotify, self.no_notify)?,
            no_attribution: flag(Field::NoAttribution, self.no_attribution)?,
            grading: grading.or_else(|| self.grading.clone()).map(|grading| grading.0),
            personal_data,
            jurisdictions,
            expires_at_ms: unix_ms(expires),
            retain_until_ms: unix_ms(retain_until),
            caveat: row.or(Field::Caveat, &self.caveat),
            foreign: Vec::new(),
            not_personal: stated == Some(false) && is_personal_by_type,
        })
    }

    /// The countries of one row: a cell binds its row, a flag those rows that it can bind.
    fn jurisdictions_of(
        &self,
        row: &RowCells,
        personal_data: bool,
    ) -> Result<Vec<String>, Refusal> {
        let given = row.parsed(Field::Jurisdictions, CountryList::from_str)?;
        match given.or_else(|| self.jurisdictions.clone().filter(|_| personal_data)) {
            None => Ok(Vec::new()),
            Some(list) if personal_data => Ok(list.0),
            Some(_) => Err(Refusal::new(
                Field::Jurisdictions.name(),
                "jurisdictions bind personal data, and the row has none by its type; state \
                 personal_data yes, or leave the cell empty",
            )),
        }
    }

    /// Notes for whoever may expect more of the flags than they do.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.jurisdictions.is_some() && self.personal_data != Some(true) {
            notes.push(
                "note: --jurisdictions binds the rows with personal data alone; add --personal-data yes \
                 if all rows hold some"
                    .to_owned(),
            );
        }
        notes
    }
}

/// Takes the labels of TLP and PAP out of the tags of a row.
///
/// # Errors
/// A label that is not the one of the row's marking.
pub(super) fn without_labels(
    tags: Vec<String>,
    marking: &pb::Marking,
) -> Result<Vec<String>, Refusal> {
    let mut others = Vec::with_capacity(tags.len());
    for tag in tags {
        if let Some(word) = label_word::<pb::Tlp>(&tag) {
            agrees(&tag, &word, marking.tlp(), Field::Tlp)?;
        } else if let Some(word) = label_word::<pb::Pap>(&tag) {
            agrees(&tag, &word, marking.pap(), Field::Pap)?;
        } else {
            others.push(tag);
        }
    }
    Ok(others)
}

/// Returns the word of a tag that is written as a label of this scheme: `tlp:red`, `TLP-RED`, `tlp：red`,
/// `tlpred`, or the bare scheme that is left where a blank cut `TLP RED`.
fn label_word<E: WireEnum>(tag: &str) -> Option<String> {
    let folded = tag.nfkc().collect::<String>().to_ascii_lowercase();
    let scheme = E::PREFIX.trim_end_matches('_').to_ascii_lowercase();
    let is_mark = |character: char| !character.is_alphanumeric();
    let rest = folded.trim_start_matches(is_mark).strip_prefix(&scheme)?;
    let word = rest.trim_matches(is_mark);
    let is_label = !rest.starts_with(char::is_alphanumeric) || names::parse::<E>(word).is_ok();
    is_label.then(|| word.to_owned())
}

fn agrees<E: WireEnum + PartialEq>(
    tag: &str,
    word: &str,
    marked: E,
    field: Field,
) -> Result<(), Refusal> {
    let refused = |reason| Err(Refusal::new("tags", reason));
    match names::parse::<E>(word) {
        Ok(found) if found == marked => Ok(()),
        Ok(_) => refused(format!(
            "the tag {tag:?} contradicts {}, the row's label; correct one of them, or give the row \
             its label in a column {}",
            names::word(marked),
            field.name()
        )),
        Err(reason) => refused(format!("the tag {tag:?}: {reason}")),
    }
}

/// The label of the other protocol with the same colour.
const fn pap_like(tlp: pb::Tlp) -> pb::Pap {
    match tlp {
        pb::Tlp::Clear => pb::Pap::Clear,
        pb::Tlp::Green => pb::Pap::Green,
        pb::Tlp::Amber | pb::Tlp::AmberStrict => pb::Pap::Amber,
        pb::Tlp::Red | pb::Tlp::Unspecified => pb::Pap::Red,
    }
}

fn unix_ms(time: Option<Timestamp>) -> u64 {
    time.map_or(0, |time| time.unix_ms().unsigned_abs())
}

/// A list of names, or nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameList<T>(Vec<T>);

impl<T: FromStr> FromStr for NameList<T>
where
    T::Err: std::fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(NOBODY) {
            return Ok(Self(Vec::new()));
        }
        if lists::items(text).next().is_none() {
            return Err(format!("an empty list; write {NOBODY} for a list without agencies"));
        }
        let name = |item: &str| item.parse().map_err(|error| format!("{item:?}: {error}"));
        lists::parsed(text, name).map(Self)
    }
}

/// A list of country codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountryList(Vec<String>);

impl FromStr for CountryList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        lists::parsed(text, parse_country).map(Self)
    }
}

/// A grading with its scheme.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GradingText(pb::Grading);

impl FromStr for GradingText {
    type Err = String;

    /// The characters themselves are checked with the draft.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a grading such as admiralty:B2, europol:A1 or uk-3x5x2:1A");
        let (scheme, grade) = text.split_once(':').ok_or_else(wrong)?;
        let mut characters = grade.trim().chars();
        let (Some(source), Some(information), None) =
            (characters.next(), characters.next(), characters.next())
        else {
            return Err(wrong());
        };
        Ok(Self(pb::Grading {
            scheme: names::parse::<pb::GradingScheme>(scheme)?.into(),
            source: source.to_ascii_uppercase().into(),
            information: information.to_ascii_uppercase().into(),
        }))
    }
}

/// Reads yes or no, as people and spreadsheets write them. For clap and for cells.
fn parse_flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "1" => Ok(true),
        "no" | "n" | "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

/// Reads a handling code; H3 needs its words. For clap and for cells.
fn parse_handling(text: &str) -> Result<Handling, String> {
    match Handling::from_name(text) {
        Some(Handling::H3) => Err("H3 is a restriction in words: give them as caveat".to_owned()),
        Some(code) => Ok(code),
        None => Err(format!("{text:?} is not one of H0, H1, H2 (H3 is given as caveat)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn green() -> MarkingArgs {
        MarkingArgs { tlp: Some(pb::Tlp::Green), ..MarkingArgs::default() }
    }

    fn row(cells: &[(Field, &str)]) -> RowCells {
        RowCells(cells.iter().map(|(field, text)| (*field, (*text).to_owned())).collect())
    }

    #[test]
    fn every_part_of_a_marking_can_be_given_by_cell() {
        let cells = row(&[
            (Field::Tlp, "TLP:AMBER+STRICT"),
            (Field::ReleasableTo, "cbi.gov.in; npa.go.jp"),
            (Field::Circles, "nobody"),
            (Field::Handling, "H1 h2"),
            (Field::Caveat, "call first"),
            (Field::PersonalData, "Yes"),
            (Field::Jurisdictions, "in, jp"),
            (Field::Expires, "2027-01-01"),
            (Field::RetainUntil, "2028-01-01T00:00:00Z"),
            (Field::NoNotify, "1"),
            (Field::NoAttribution, "no"),
            (Field::Grading, "admiralty:b2"),
        ]);
        let no_attribution = MarkingArgs { no_attribution: true, ..green() };
        let marking = no_attribution.of_row(&cells, ValueType::Domain).unwrap();
        assert_eq!((marking.tlp(), marking.pap()), (pb::Tlp::AmberStrict, pb::Pap::Amber));
        assert_eq!(marking.releasable_to.unwrap().agencies, ["cbi.gov.in", "npa.go.jp"]);
        assert_eq!(marking.circles.unwrap().circles, [""; 0]);
        assert!(marking.no_evidence && marking.orcon && marking.personal_data && marking.no_notify);
        assert!(!marking.no_attribution && !marking.not_personal);
        assert_eq!(marking.jurisdictions, ["IN", "JP"]);
        assert_eq!(marking.caveat, "call first");
        assert_eq!(marking.expires_at_ms, 1_798_761_600_000);
        assert_eq!(marking.retain_until_ms, 1_830_297_600_000);
        let grading = marking.grading.unwrap();
        assert_eq!((grading.source.as_str(), grading.information.as_str()), ("B", "2"));
    }

    #[test]
    fn telephones_addresses_and_accounts_are_personal_data_unless_it_is_stated_that_they_are_not() {
        let of = |args: &MarkingArgs, value_type| {
            let marking = args.of_row(&row(&[]), value_type).unwrap();
            (marking.personal_data, marking.not_personal, marking.jurisdictions)
        };
        let japan = MarkingArgs { jurisdictions: Some("JP".parse().unwrap()), ..green() };
        for personal in [ValueType::Phone, ValueType::Email, ValueType::BankAccount] {
            assert_eq!(of(&japan, personal), (true, false, vec!["JP".to_owned()]));
        }
        assert_eq!(of(&japan, ValueType::Domain), (false, false, vec![]));
        let hotline = MarkingArgs { personal_data: Some(false), ..green() };
        assert_eq!(of(&hotline, ValueType::Phone), (false, true, vec![]));
        assert_eq!(of(&hotline, ValueType::Domain), (false, false, vec![]));
    }

    #[test]
    fn a_tag_that_contradicts_the_label_is_refused_and_one_that_agrees_is_not_kept_twice() {
        let marking = green().of_row(&row(&[]), ValueType::Domain).unwrap();
        let tags = |tags: &[&str]| {
            without_labels(tags.iter().map(|tag| (*tag).to_owned()).collect(), &marking)
        };
        assert_eq!(tags(&["tlp:green", "botnet", "PAP:GREEN"]).unwrap(), ["botnet"]);
        let refusal = tags(&["tlp:red"]).unwrap_err();
        assert_eq!(refusal.column, "tags");
        assert!(refusal.reason.contains("contradicts green"), "{}", refusal.reason);
        assert!(tags(&["tlp:violet"]).is_err());
        let clear = MarkingArgs { tlp: Some(pb::Tlp::Clear), ..MarkingArgs::default() };
        let clear = clear.of_row(&row(&[]), ValueType::Domain).unwrap();
        assert!(without_labels(vec!["tlp:white".to_owned()], &clear).unwrap().is_empty());
    }

    #[test]
    fn a_tag_is_a_label_in_every_form_that_people_write() {
        let marking = green().of_row(&row(&[]), ValueType::Domain).unwrap();
        let kept = |tag: &str| without_labels(vec![tag.to_owned()], &marking);
        for label in
            ["tlp:red", "TLP-RED", "tlp_red", "tlp：red", "ＴＬＰ:RED", "tlp=\"red\"", "tlpred"]
        {
            assert!(kept(label).unwrap_err().reason.contains("contradicts green"), "{label}");
        }
        for label in ["tlp:amber+strict", "TLP/AMBER-STRICT", "#tlp:amber", "[PAP:RED]", "pap-red"]
        {
            assert!(kept(label).is_err(), "{label}");
        }
        // The first word of `TLP RED` in a list that blanks separate.
        for cut in ["TLP", "pap", "TLP:", "tlp-violet"] {
            assert!(kept(cut).unwrap_err().reason.contains(&format!("{cut:?}")), "{cut}");
        }
        for label in ["tlp:green", "TLP-GREEN", "tlp：green", "pap green"] {
            assert_eq!(kept(label).unwrap(), [""; 0], "{label}");
        }
        for other in ["botnet", "paper", "red", "http-tlp"] {
            assert_eq!(kept(other).unwrap(), [other], "{other}");
        }
    }

    #[test]
    fn a_cell_of_separators_does_not_undo_its_flag() {
        let strict = MarkingArgs {
            handling: vec![Handling::H2],
            jurisdictions: Some("JP".parse().unwrap()),
            personal_data: Some(true),
            ..green()
        };
        for (field, name) in [
            (Field::Handling, "handling"),
            (Field::Jurisdictions, "jurisdictions"),
            (Field::ReleasableTo, "releasable_to"),
            (Field::Circles, "circles"),
        ] {
            for text in [";", ",", "| ;"] {
                let refusal = strict.of_row(&row(&[(field, text)]), ValueType::Domain).unwrap_err();
                assert_eq!(refusal.column, name, "{text:?}");
            }
        }
        assert!(CountryList::from_str(";").is_err());
    }

    #[test]
    fn jurisdictions_that_would_bind_nothing_are_refused_in_a_cell_and_noted_of_a_flag() {
        let cells = [(Field::Jurisdictions, "JP")];
        let refusal = green().of_row(&row(&cells), ValueType::Domain).unwrap_err();
        assert_eq!(refusal.column, "jurisdictions");
        assert!(refusal.reason.contains("personal_data yes"), "{}", refusal.reason);
        let stated = [cells[0], (Field::PersonalData, "yes")];
        let marking = green().of_row(&row(&stated), ValueType::Domain).unwrap();
        assert_eq!(marking.jurisdictions, ["JP"]);
        assert_eq!(green().of_row(&row(&cells), ValueType::Phone).unwrap().jurisdictions, ["JP"]);
        let japan = MarkingArgs { jurisdictions: Some("JP".parse().unwrap()), ..green() };
        assert!(japan.notes()[0].contains("--personal-data yes"));
        assert!(MarkingArgs { personal_data: Some(true), ..japan }.notes().is_empty());
        assert!(green().notes().is_empty());
    }

    #[test]
    fn a_part_that_cannot_be_read_is_named_with_its_column() {
        let column = |field, text| {
            green().of_row(&row(&[(field, text)]), ValueType::Domain).unwrap_err().column
        };
        assert_eq!(column(Field::PersonalData, "maybe"), "personal_data");
        assert_eq!(column(Field::Handling, "H3"), "handling");
        assert_eq!(column(Field::ReleasableTo, "no name!"), "releasable_to");
        assert_eq!(column(Field::ReleasableTo, ","), "releasable_to");
        assert_eq!(column(Field::Grading, "admiralty"), "grading");
        assert_eq!(column(Field::Expires, "soon"), "expires");
    }
}
