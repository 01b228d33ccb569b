//! The characters that IDNA 2008 admits in the labels of a host name (RFC 5892).
//!
//! UTS-46 lets punctuation and symbols through, so the quotes and brackets around a name would become
//! part of another one. Expects text that UTS-46 has mapped and checked, joiners included.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, Script};

/// Returns the first character of a name that its label must not have.
pub(super) fn disallowed(name: &str) -> Option<char> {
    name.split('.').find_map(|label| {
        let characters: Vec<char> = label.chars().collect();
        (0..characters.len()).find(|at| !is_admitted(&characters, *at)).map(|at| characters[at])
    })
}

/// Returns whether a character beyond ASCII is a letter, mark, digit or joiner that a label may have
/// wherever it stands (RFC 5892, section 3). Old Hangul letters, which it excludes, are in use in names.
pub(super) fn is_letter_mark_or_digit(character: char) -> bool {
    use GeneralCategory as Category;
    let is_exception = matches!(
        character,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}'
    );
    let is_of_symbols = matches!(character, '\u{20d0}'..='\u{20ff}' | '\u{1d100}'..='\u{1d24f}');
    let is_of_category = || {
        matches!(
            CodePointMapData::<GeneralCategory>::new().get(character),
            Category::LowercaseLetter
                | Category::UppercaseLetter
                | Category::OtherLetter
                | Category::ModifierLetter
                | Category::NonspacingMark
                | Category::SpacingMark
                | Category::DecimalNumber
        )
    };
    let is_added = matches!(
        character,
        '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' | '\u{200c}' | '\u{200d}'
    );
    is_added || !is_exception && !is_of_symbols && is_of_category()
}

/// The rules of RFC 5892, appendix A, for characters that depend on the others of their label.
fn is_admitted(label: &[char], at: usize) -> bool {
    let character = label[at];
    let before = at.checked_sub(1).map(|at| label[at]);
    let after = label.get(at + 1).copied();
    let is_of = |character: Option<char>, script: Script| character.map(script_of) == Some(script);
    match character {
        _ if character.is_ascii() => true,
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => is_of(after, Script::Greek),
        '\u{5f3}' | '\u{5f4}' => is_of(before, Script::Hebrew),
        '\u{30fb}' => label.iter().any(|other| {
            [Script::Hiragana, Script::Katakana, Script::Han].contains(&script_of(*other))
        }),
        '\u{660}'..='\u{669}' => !label.iter().any(|other| ('\u{6f0}'..='\u{6f9}').contains(other)),
        _ => is_letter_mark_or_digit(character),
    }
}

fn script_of(character: char) -> Script {
    CodePointMapData::<Script>::new().get(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_marks_and_digits_of_every_script_are_admitted() {
        for name in [
            "bücher.example",
            "例え.テスト",
            "उदाहरण.परीक्षा",
            "مثال.إختبار",
            "٣٤.example",
            "ไทย.example",
            "〇二.example",
            "ǝ.live",
            "straße.example",
            "نامه\u{200c}ای.example",
            "한국.example",
        ] {
            assert_eq!(disallowed(name), None, "{name}");
        }
    }

    #[test]
    fn punctuation_symbols_and_brackets_are_not_admitted() {
        for character in "“”‘’«»「」【】（）、。，！？…–—•❤☃€©\u{640}\u{3031}\u{20dd}½".chars()
        {
            let name = format!("a{character}.example");
            assert_eq!(disallowed(&name), Some(character), "{name}");
        }
    }

    #[test]
    fn a_character_with_a_rule_of_context_stands_only_where_the_rule_admits_it() {
        for (name, is_admitted) in [
            ("col·lecció", true),
            ("a·b", false),
            ("·l", false),
            ("\u{375}α", true),
            ("\u{375}a", false),
            ("א\u{5f3}", true),
            ("a\u{5f4}", false),
            ("カ・ナ", true),
            ("a・b", false),
            ("\u{661}\u{662}", true),
            ("\u{661}\u{6f2}", false),
        ] {
            assert_eq!(disallowed(name).is_none(), is_admitted, "{name}");
        }
    }
}
