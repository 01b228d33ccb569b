//! The words of a text as they are indexed and asked for.
//!
//! One word has many spellings in bytes: composed and decomposed, full-width and half-width, upper and
//! lower case. All of them become one (NFKC, lower case). Scripts that put no blanks between words are
//! cut into single characters and pairs of neighbours, which needs no dictionary, so that an index on
//! disk never depends on the version of one.

use std::borrow::Cow;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Brings a text into the one spelling by which it is compared.
pub fn folded(text: &str) -> Cow<'_, str> {
    // Most texts, and folding them so costs next to nothing.
    match text.is_ascii() {
        true if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Cow::Owned(text.to_ascii_lowercase())
        }
        true => Cow::Borrowed(text),
        false => Cow::Owned(normalized(text)),
    }
}

fn normalized(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// The words that a folded text is found by.
pub fn indexed(folded: &str) -> impl Iterator<Item = &str> {
    runs(folded).flat_map(|run| {
        let characters = run.unspaced().map(|text| singles(text).chain(pairs(text)));
        run.word().into_iter().chain(characters.into_iter().flatten())
    })
}

/// The words that must all be in a text for a folded question to be met. Fewer than those that are
/// indexed: a pair of characters contains the single ones.
pub fn asked(folded: &str) -> impl Iterator<Item = &str> {
    runs(folded).flat_map(|run| {
        let pairs = run.unspaced().into_iter().flat_map(pairs);
        let alone = run.unspaced().filter(|text| self::pairs(text).next().is_none());
        run.word().into_iter().chain(pairs).chain(alone)
    })
}

/// Letters and digits of one sort in a row, with the marks on them.
#[derive(Debug, Clone, Copy)]
struct Run<'a> {
    is_unspaced: bool,
    text: &'a str,
}

impl<'a> Run<'a> {
    /// One letter or digit of a script with blanks is not worth a word.
    fn word(self) -> Option<&'a str> {
        (!self.is_unspaced && self.text.len() > 1).then_some(self.text)
    }

    fn unspaced(self) -> Option<&'a str> {
        self.is_unspaced.then_some(self.text)
    }
}

fn runs(text: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|character: char| !character.is_alphanumeric());
        let is_unspaced = is_unspaced(rest.chars().next()?);
        let goes_on = |character: char| {
            if character.is_ascii() {
                return !is_unspaced && character.is_ascii_alphanumeric();
            }
            let is_of_the_sort = self::is_unspaced(character) == is_unspaced;
            is_combining_mark(character) || character.is_alphanumeric() && is_of_the_sort
        };
        let end = rest.find(|character| !goes_on(character)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Run { is_unspaced, text })
    })
}

/// Scripts whose words stand without blanks between them, and Korean, whose words carry their particles:
/// Thai, Lao, Myanmar, Khmer, Hangul, Kana, Han. The blocks are those of Unicode.
fn is_unspaced(character: char) -> bool {
    matches!(
        character,
        '\u{0e00}'..='\u{0eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1100}'..='\u{11ff}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{3100}'..='\u{318f}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{a960}'..='\u{a97f}'
            | '\u{aa60}'..='\u{aa7f}'
            | '\u{ac00}'..='\u{d7ff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}'
    )
}

/// The characters of a run, each with the marks on it: where it begins and ends.
fn characters(run: &str) -> impl Iterator<Item = Range<usize>> {
    let begins = |(_, character): &(usize, char)| !is_combining_mark(*character);
    let starts = run.char_indices().skip(1).filter(begins).map(|(at, _)| at);
    let mut start = 0;
    starts.chain((!run.is_empty()).then_some(run.len())).map(move |end| {
        let character = start..end;
        start = end;
        character
    })
}

fn singles(run: &str) -> impl Iterator<Item = &str> {
    characters(run).map(|character| &run[character])
}

fn pairs(run: &str) -> impl Iterator<Item = &str> {
    let neighbours = characters(run).zip(characters(run).skip(1));
    neighbours.map(|(first, second)| &run[first.start..second.end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(text: &str, question: &str) -> bool {
        let (text, question) = (folded(text), folded(question));
        let there: Vec<&str> = indexed(&text).collect();
        let mut asked = asked(&question).peekable();
        asked.peek().is_some() && asked.all(|word| there.contains(&word))
    }

    #[test]
    fn words_of_scripts_without_blanks_are_found_inside_a_sentence() {
        let japanese = "偽のサポート詐欺サイトで電話番号を表示し、遠隔操作ソフトを入れさせる。";
        for word in ["サポート詐欺", "電話番号", "遠隔操作", "ソフト", "偽", "詐欺サイト"]
        {
            assert!(finds(japanese, word), "{word}");
        }
        assert!(!finds(japanese, "銀行"));
        let chinese = "冒充微软客服的诈骗网站，要求安装远程控制软件";
        for word in ["诈骗", "微软客服", "远程控制", "软件"] {
            assert!(finds(chinese, word), "{word}");
        }
        let thai = "เว็บไซต์หลอกลวงอ้างเป็นธนาคารกรุงเทพ";
        for word in ["หลอกลวง", "ธนาคาร", "เว็บไซต์"] {
            assert!(finds(thai, word), "{word}");
        }
        assert!(!finds(thai, "ตำรวจ"));
        assert!(finds("가짜 은행에서 송금을 요구", "은행"));
        assert!(finds("LINE詐欺の口座", "line 詐欺"));
    }

    #[test]
    fn one_word_has_one_spelling() {
        assert!(finds("cafe\u{301} Zürich", "CAFÉ"));
        assert!(finds("Zu\u{308}rich", "zürich"));
        assert!(finds("ＡＮＹＤＥＳＫ １２３", "anydesk 123"));
        assert!(finds("ｻﾎﾟｰﾄ", "サポート"));
        assert!(finds("か\u{3099}いこく", "がいこく"));
        assert!(finds("ﬁnance", "finance"));
        assert_eq!(folded("ＯＰ－１１８７"), "op-1187");
    }

    #[test]
    fn words_with_blanks_stay_whole_and_single_letters_are_left_out() {
        let words: Vec<&str> = indexed("tech-support fraud, a 7 x2").collect();
        assert_eq!(words, ["tech", "support", "fraud", "x2"]);
        assert_eq!(asked("a - !").count(), 0);
        assert_eq!(asked("हिन्दी शब्द").collect::<Vec<_>>(), ["हिन्दी", "शब्द"]);
    }

    proptest! {
        #[test]
        fn plain_text_is_folded_as_all_text_is(text in "[ -~\\n\\t]{0,60}") {
            prop_assert_eq!(folded(&text), normalized(&text));
        }

        #[test]
        fn a_text_is_found_by_each_of_its_own_words(text in "\\PC{0,60}") {
            let text = folded(&text);
            let there: Vec<&str> = indexed(&text).collect();
            for word in asked(&text) {
                prop_assert!(there.contains(&word), "{word:?}");
            }
        }
    }
}
