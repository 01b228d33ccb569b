//! The words for wire enumerations on the command line, in columns and in JSON.
//!
//! The word of `TAKEDOWN_STATUS_UP_AGAIN` is `up-again`: the wire name without the name of the
//! enumeration, in lower case. They are never listed a second time.

use crate::pb;

/// Largest number of any enumeration of `liaison.v1`, with room to grow.
const ENUM_NUMBER_MAX: i32 = 64;

/// A wire enumeration with its common prefix.
pub(super) trait WireEnum: TryFrom<i32> + Copy {
    const PREFIX: &'static str;
    /// The noun for its values in messages.
    const NOUN: &'static str;
    /// Words of earlier editions of a standard, each with the word of today.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];
    fn wire_name(self) -> &'static str;
}

macro_rules! wire_enums {
    ($($name:ident, $prefix:literal, $noun:literal $(, $aliases:expr)?;)*) => {$(
        impl WireEnum for pb::$name {
            const PREFIX: &'static str = $prefix;
            const NOUN: &'static str = $noun;
            $(const ALIASES: &'static [(&'static str, &'static str)] = $aliases;)?
            fn wire_name(self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

wire_enums! {
    CaseStatus, "CASE_STATUS_", "case status";
    ErasureBasis, "ERASURE_BASIS_", "legal ground";
    ErasureProgress, "ERASURE_PROGRESS_", "progress";
    DraftOutcome, "DRAFT_OUTCOME_", "outcome";
    GradingScheme, "GRADING_SCHEME_", "grading scheme";
    Kind, "KIND_", "kind";
    Pap, "PAP_", "PAP label";
    PartnerState, "PARTNER_STATE_", "partner state";
    PolicyChange, "POLICY_CHANGE_", "change of a policy";
    RecipientVerdict, "RECIPIENT_VERDICT_", "verdict";
    SlotState, "SLOT_STATE_", "slot state";
    TakedownAction, "TAKEDOWN_ACTION_", "takedown action";
    TakedownStatus, "TAKEDOWN_STATUS_", "takedown status";
    // TLP 1.0 has WHITE for what FIRST names CLEAR since TLP 2.0.
    Tlp, "TLP_", "TLP label", &[("white", "clear")];
    ValueType, "VALUE_TYPE_", "value type";
    WithdrawalReason, "WITHDRAWAL_REASON_", "reason";
}

/// The word of a wire name.
pub(super) fn word_of(wire_name: &str, prefix: &str) -> String {
    wire_name.strip_prefix(prefix).unwrap_or(wire_name).to_ascii_lowercase().replace('_', "-")
}

/// The word of a value; "unspecified" has none.
pub(super) fn word<E: WireEnum>(value: E) -> String {
    let word = word_of(value.wire_name(), E::PREFIX);
    if word == "unspecified" { String::new() } else { word }
}

/// The word of a number from the wire; numbers that are not known are shown as they are.
pub(super) fn word_of_number<E: WireEnum>(number: i32) -> String {
    E::try_from(number).map_or_else(|_| number.to_string(), word)
}

/// All values that have a word.
pub(super) fn all<E: WireEnum>() -> impl Iterator<Item = E> {
    (1..ENUM_NUMBER_MAX).filter_map(|number| E::try_from(number).ok())
}

/// Reads a word in any case, with blanks or underscores for dashes and with `+` or a colon as
/// markings are written (`TLP:AMBER+STRICT`). For clap and for columns.
pub(super) fn parse<E: WireEnum>(text: &str) -> Result<E, String> {
    let folded = text.trim().to_ascii_lowercase().replace([' ', '_', '+'], "-");
    let bare = match folded.split_once(':') {
        Some((scheme, label)) if E::PREFIX.to_ascii_lowercase().trim_end_matches('_') == scheme => {
            label
        }
        _ => &folded,
    };
    let bare = E::ALIASES.iter().find(|(alias, _)| *alias == bare).map_or(bare, |(_, word)| word);
    all::<E>().find(|value| word(*value) == bare).ok_or_else(|| {
        let known: Vec<_> = all::<E>().map(word).collect();
        format!("{text:?} is not a {}; known: {}", E::NOUN, known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_in_the_forms_people_write() {
        assert_eq!(parse("up_again"), Ok(pb::TakedownStatus::UpAgain));
        assert_eq!(parse("TLP:AMBER+STRICT"), Ok(pb::Tlp::AmberStrict));
        assert_eq!(parse("amber"), Ok(pb::Pap::Amber));
        assert_eq!(parse("TLP:WHITE"), Ok(pb::Tlp::Clear));
        assert_eq!(parse("Takedown Result"), Ok(pb::Kind::TakedownResult));
        for kind in all::<pb::Kind>() {
            assert_eq!(parse(&word(kind)), Ok(kind));
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let message = parse::<pb::TakedownStatus>("gone").unwrap_err();
        assert!(message.contains("reported, actioned, down"), "{message}");
        assert!(parse::<pb::Tlp>("PAP:RED").is_err());
        assert!(parse::<pb::Tlp>("unspecified").is_err());
    }
}
