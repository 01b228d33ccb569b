//! The signed note (C2SP signed-note): a text and the lines that sign it, read and written.
//!
//! Reading is strict: bytes that would not print back to themselves are refused, so a note has one
//! form and can be compared, hashed and stored as it came. A [`Note`] is only well formed; nothing
//! in it may be believed before [`super::verify_note`] has said which lines are good.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyError, NoteKeyId, NoteKeyName};

/// Largest note in bytes. It holds a checkpoint with sixteen signatures of 5 kB, which is what every
/// verifier must accept, and is short enough for one message.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;

/// Most signature lines in a note, as in the other implementations. It bounds what reading costs.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// Em dash and space.
const LINE_START: &str = "\u{2014} ";

/// The reason why bytes are not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("a note has at most {NOTE_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    #[error("note is not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("control character {0:#04x} in the note")]
    Control(u32),
    #[error("note text does not end with a line feed")]
    TextEnd,
    #[error("no empty line parts the text from its signatures")]
    Separator,
    #[error("a note has 1 to {NOTE_SIGNATURES_MAX} signatures, found {0}")]
    Signatures(usize),
    #[error("signature line {0} is not an em dash, a name and base64, each after one space")]
    LineForm(usize),
    #[error("signature line {0} does not hold canonical base64")]
    LineBase64(usize),
    #[error("signature of {0} bytes, a key id has four and the rest is not empty")]
    SignatureLength(usize),
    #[error("signature line {line} has no key name")]
    LineName { line: usize, source: KeyError },
}

/// A text that can be signed: UTF-8, no control characters but line feeds, one of them at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteText(String);

impl NoteText {
    pub fn new(text: String) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Length(text.len()));
        }
        if !text.ends_with('\n') {
            return Err(NoteError::TextEnd);
        }
        check_characters(&text)?;
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One signature line, believed or not: the key it claims and the bytes after the key id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteSignature {
    name: NoteKeyName,
    key_id: NoteKeyId,
    bytes: Vec<u8>,
}

impl NoteSignature {
    /// `bytes` is what follows the key id; it must not be empty.
    pub fn new(name: NoteKeyName, key_id: NoteKeyId, bytes: Vec<u8>) -> Result<Self, NoteError> {
        if bytes.is_empty() {
            return Err(NoteError::SignatureLength(key_id.as_bytes().len()));
        }
        Ok(Self { name, key_id, bytes })
    }

    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    pub fn key_id(&self) -> NoteKeyId {
        self.key_id
    }

    /// Returns the bytes of the signature, without the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads lines without a text, as a witness answers them; 1 to [`NOTE_SIGNATURES_MAX`], within the
    /// size of a note.
    pub fn parse_lines(bytes: &[u8]) -> Result<Vec<Self>, NoteError> {
        parse_lines(read_characters(bytes)?)
    }

    /// Reads a line without its line feed; `number` counts lines from 1, for errors.
    fn parse(line: &str, number: usize) -> Result<Self, NoteError> {
        let (name, encoded) = line
            .strip_prefix(LINE_START)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(NoteError::LineForm(number))?;
        let name = name.parse().map_err(|source| NoteError::LineName { line: number, source })?;
        let blob = STANDARD.decode(encoded).map_err(|_| NoteError::LineBase64(number))?;
        let Some((key_id, bytes)) = blob.split_first_chunk() else {
            return Err(NoteError::SignatureLength(blob.len()));
        };
        Self::new(name, NoteKeyId::from_bytes(*key_id), bytes.to_vec())
    }
}

impl fmt::Display for NoteSignature {
    /// The signature line without its line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.key_id.as_bytes().as_slice(), &self.bytes].concat();
        write!(f, "{LINE_START}{} {}", self.name, STANDARD.encode(blob))
    }
}

/// A text with 1 to 100 signature lines, within the size of a note. Well formed, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    text: NoteText,
    signatures: Vec<NoteSignature>,
}

impl Note {
    pub fn new(text: NoteText, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if !(1..=NOTE_SIGNATURES_MAX).contains(&signatures.len()) {
            return Err(NoteError::Signatures(signatures.len()));
        }
        let note = Self { text, signatures };
        let length = note.to_string().len();
        if length > NOTE_BYTES_MAX { Err(NoteError::Length(length)) } else { Ok(note) }
    }

    /// Reads a note. What it accepts, [`Note::to_bytes`] gives back byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let whole = read_characters(bytes)?;
        let separator = whole.rfind("\n\n").ok_or(NoteError::Separator)?;
        let (text, lines) = (&whole[..=separator], &whole[separator + 2..]);
        let text = NoteText::new(text.to_owned())?;
        Ok(Self { text, signatures: parse_lines(lines)? })
    }

    pub fn text(&self) -> &NoteText {
        &self.text
    }

    /// The signature lines in their order, at least one.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// This note with further lines after the ones it has.
    pub fn with_signatures(
        mut self,
        further: impl IntoIterator<Item = NoteSignature>,
    ) -> Result<Self, NoteError> {
        self.signatures.extend(further);
        Self::new(self.text, self.signatures)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text.as_str())?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let count = lines.bytes().filter(|byte| *byte == b'\n').count();
    if !(1..=NOTE_SIGNATURES_MAX).contains(&count) {
        return Err(NoteError::Signatures(count));
    }
    let lines = lines.strip_suffix('\n').ok_or(NoteError::LineForm(count + 1))?;
    lines.split('\n').zip(1..).map(|(line, number)| NoteSignature::parse(line, number)).collect()
}

fn read_characters(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Length(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| NoteError::Utf8(error.valid_up_to()))?;
    check_characters(text)?;
    Ok(text)
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.chars().find(|c| *c < ' ' && *c != '\n') {
        Some(control) => Err(NoteError::Control(control.into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn signature(size: usize) -> NoteSignature {
        let key_id = NoteKeyId::from_bytes([1, 2, 3, 4]);
        NoteSignature::new("npa.go.jp/journal".parse().unwrap(), key_id, vec![7; size]).unwrap()
    }

    fn text(text: &str) -> NoteText {
        NoteText::new(text.to_owned()).unwrap()
    }

    #[test]
    fn a_text_may_have_empty_lines_and_the_last_one_parts_it_from_its_signatures() {
        for content in ["a\n", "\n", "\n\n", "a\n\nb\n", "a\n\n", "a\n\n\u{2014} b AAAAAAA=\n"] {
            let note = Note::new(text(content), vec![signature(64)]).unwrap();
            let back = Note::parse(&note.to_bytes()).unwrap();
            assert_eq!(back.text().as_str(), content);
            assert_eq!(back, note);
        }
    }

    #[test]
    fn what_would_not_print_back_is_refused() {
        for bad in [
            "",
            "\n",
            "a\n",
            "a\n\n",
            "a\n\u{2014} n AQIDBAU=\n",
            "\n\u{2014} n AQIDBAU=\n",
            "a\n\n\u{2014} n AQIDBAU=",
            "a\n\n\u{2014} n AQIDBAU=\n\n",
            "a\n\n\u{2014} n AQIDBAU=\nb\n",
            "a\n\n\u{2014} n  AQIDBAU=\n",
            "a\n\n\u{2014}  n AQIDBAU=\n",
            "a\n\n\u{2014} n AQIDBAU= \n",
            "a\n\n\u{2014}n AQIDBAU=\n",
            "a\n\n- n AQIDBAU=\n",
            "a\n\n\u{2014} n\n",
            "a\n\n\u{2014} n \n",
            "a\n\n\u{2014}  AQIDBAU=\n",
            "a\n\n\u{2014} n+m AQIDBAU=\n",
            // No padding, padding bits set, the other alphabet, only a key id.
            "a\n\n\u{2014} n AQIDBAU\n",
            "a\n\n\u{2014} n AQIDBAV=\n",
            "a\n\n\u{2014} n AQIDBA-_\n",
            "a\n\n\u{2014} n AQIDBA==\n",
            "a\r\n\n\u{2014} n AQIDBAU=\n",
            "a\t\n\n\u{2014} n AQIDBAU=\n",
            "a\0\n\n\u{2014} n AQIDBAU=\n",
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(Note::parse(b"a\xff\n\n\xe2\x80\x94 n AQIDBAU=\n"), Err(NoteError::Utf8(1)));
        assert!(Note::parse("a\n\n\u{2014} n AQIDBAU=\n".as_bytes()).is_ok());
    }

    #[test]
    fn sixteen_post_quantum_lines_fit_and_the_caps_hold() {
        let many = |count, size| Note::new(text("a\n"), vec![signature(size); count]);
        assert!(Note::parse(&many(16, 5_000).unwrap().to_bytes()).is_ok());
        assert!(Note::parse(&many(100, 64).unwrap().to_bytes()).is_ok());
        assert_eq!(many(101, 64), Err(NoteError::Signatures(101)));
        assert_eq!(many(0, 64), Err(NoteError::Signatures(0)));
        assert!(matches!(many(60, 2420), Err(NoteError::Length(_))));
        let line = "\u{2014} n AQIDBAU=\n";
        let bytes = format!("a\n\n{}", line.repeat(101)).into_bytes();
        assert_eq!(Note::parse(&bytes), Err(NoteError::Signatures(101)));
        let bytes = vec![b'\n'; NOTE_BYTES_MAX + 1];
        assert_eq!(Note::parse(&bytes), Err(NoteError::Length(NOTE_BYTES_MAX + 1)));
    }

    prop_compose! {
        fn any_note()(
            text in "[^\\p{Cc}]{0,20}(\n[^\\p{Cc}]{0,20}){0,4}",
            lines in vec(("[^\\p{Z}\\p{Cc}+]{1,20}", any::<[u8; 4]>(), vec(any::<u8>(), 1..90)), 1..5),
        ) -> Note {
            let text = NoteText::new(text + "\n").unwrap();
            let lines = lines.into_iter().map(|(name, id, bytes)| {
                NoteSignature::new(name.parse().unwrap(), NoteKeyId::from_bytes(id), bytes).unwrap()
            });
            Note::new(text, lines.collect()).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_note_prints_and_parses_back(note in any_note()) {
            prop_assert_eq!(Note::parse(&note.to_bytes()), Ok(note));
        }

        #[test]
        fn whatever_parses_prints_back(
            note in any_note(), at: prop::sample::Index, with: u8, cut: bool,
        ) {
            let mut bytes = note.to_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = with }
            if let Ok(back) = Note::parse(&bytes) {
                prop_assert_eq!(back.to_bytes(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = Note::parse(&bytes);
        }
    }
}
