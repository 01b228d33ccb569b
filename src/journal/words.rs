//! The words of a text as they are indexed and asked for.
//!
//! One word has many spellings in bytes: composed and decomposed, full-width and half-width, upper and
//! lower case. All of them become one (NFKC, lower case). Scripts that put no blanks between words are
//! cut into single characters and pairs of neighbours, which needs no dictionary, so that an index on
//! disk never depends on the version of one.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Brings a text into the one spelling by which it is compared.
pub fn folded(text: &str) -> String {
    // Most texts, and folding them so costs next to nothing.
    if text.is_ascii() { text.to_ascii_lowercase() } else { normalized(text) }
}

fn normalized(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// The words that a text is found by.
pub fn indexed(text: &str) -> impl Iterator<Item = String> {
    runs(&folded(text)).into_iter().flat_map(|run| {
        if run.is_unspaced { [singles(&run.text), pairs(&run.text)].concat() } else { run.word() }
    })
}

/// The words that must all be in a text for a question to be met. Fewer than those that are indexed: a
/// pair of characters contains the single ones.
pub fn asked(text: &str) -> impl Iterator<Item = String> {
    runs(&folded(text)).into_iter().flat_map(|run| match pairs(&run.text) {
        pairs if run.is_unspaced && !pairs.is_empty() => pairs,
        _ if run.is_unspaced => singles(&run.text),
        _ => run.word(),
    })
}

/// Letters and digits of one sort in a row.
struct Run {
    is_unspaced: bool,
    text: String,
}

impl Run {
    /// One letter or digit of a script with blanks is not worth a word.
    fn word(self) -> Vec<String> {
        if self.text.len() > 1 { vec![self.text] } else { Vec::new() }
    }
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut goes_on = false;
    for character in text.chars() {
        let is_mark = !character.is_ascii() && is_combining_mark(character);
        if !(character.is_alphanumeric() || is_mark && goes_on) {
            goes_on = false;
            continue;
        }
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) if is_mark || run.is_unspaced == is_unspaced(character) => {
                run.text.push(character);
            }
            _ => {
                runs.push(Run { is_unspaced: is_unspaced(character), text: character.to_string() });
            }
        }
        goes_on = true;
    }
    runs
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

/// The characters of a run, each with the marks on it.
fn characters(run: &str) -> Vec<String> {
    let mut characters: Vec<String> = Vec::new();
    for character in run.chars() {
        match characters.last_mut().filter(|_| is_combining_mark(character)) {
            Some(base) => base.push(character),
            None => characters.push(character.to_string()),
        }
    }
    characters
}

fn singles(run: &str) -> Vec<String> {
    characters(run)
}

fn pairs(run: &str) -> Vec<String> {
    characters(run).windows(2).map(<[String]>::concat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(text: &str, question: &str) -> bool {
        let there: Vec<String> = indexed(text).collect();
        let mut asked = asked(question).peekable();
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
        let words: Vec<String> = indexed("Tech-support fraud, a 7 x2").collect();
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
            let there: Vec<String> = indexed(&text).collect();
            for word in asked(&text) {
                prop_assert!(there.contains(&word), "{word:?}");
            }
        }
    }
}
