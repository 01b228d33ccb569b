//! As much of Rust's syntax as the checks in `tidy` need: tokens, test-only items, paths.
//!
//! Strings and comments hold no tokens, so that text that speaks of a path is not a use of it.
//! Known hole: what a macro puts together out of pieces is not seen.

use std::iter::Peekable;
use std::str::CharIndices;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier, keyword or number.
    Word(String),
    /// A string, byte string or character.
    Literal,
    /// `::`
    PathSeparator,
    Symbol(char),
}

impl Token {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Symbol(symbol) => text.chars().eq([*symbol]),
            Self::PathSeparator => text == "::",
            Self::Literal => false,
        }
    }
}

/// Reads a whole file. Anything that is not Rust gives some tokens, never a panic.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, chars: text.char_indices().peekable() };
    std::iter::from_fn(|| reader.next()).collect()
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            let (at, first) = self.chars.next()?;
            let rest = &self.text[at..];
            if rest.starts_with("//") {
                self.skip_until(at + rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.skip_until(at + block_comment_len(rest));
            } else if let Some(len) = string_len(rest) {
                self.skip_until(at + len);
                return Some(Token::Literal);
            } else if first == '\'' {
                return Some(self.quote(at));
            } else if first.is_alphanumeric() || first == '_' {
                let raw = rest.strip_prefix("r#").filter(|r| r.starts_with(is_word));
                let word = raw.unwrap_or(rest);
                let len = word.find(|c| !is_word(c)).unwrap_or(word.len());
                self.skip_until(at + rest.len() - word.len() + len);
                return Some(Token::Word(word[..len].to_owned()));
            } else if rest.starts_with("::") {
                self.chars.next();
                return Some(Token::PathSeparator);
            } else if !first.is_whitespace() {
                return Some(Token::Symbol(first));
            }
        }
    }

    /// A character, or a lifetime, of which only the tick is kept.
    fn quote(&mut self, at: usize) -> Token {
        let mut inner = self.text[at + 1..].char_indices();
        let close = match inner.next() {
            Some((_, '\\')) => {
                inner.next();
                inner.find(|(_, c)| *c == '\'')
            }
            Some(_) => inner.next().filter(|(_, c)| *c == '\''),
            None => None,
        };
        match close {
            Some((len, _)) => {
                self.skip_until(at + 1 + len + 1);
                Token::Literal
            }
            None => {
                while self.chars.next_if(|(_, c)| is_word(*c)).is_some() {}
                Token::Symbol('\'')
            }
        }
    }

    fn skip_until(&mut self, end: usize) {
        while self.chars.next_if(|(at, _)| *at < end).is_some() {}
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// Length of the string literal that `rest` begins with, if it begins with one.
fn string_len(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|len| *len <= 2)?;
    let (letters, body) = rest.split_at(prefix);
    if letters.contains('r') {
        let hashes = body.find(|c| c != '#')?;
        let inner = body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", &body[..hashes]);
        let end = inner.find(&close).map_or(inner.len(), |end| end + close.len());
        return Some(prefix + hashes + 1 + end);
    }
    let inner = body.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix + 1 + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A file's tokens, parted into what is compiled into the program and what only tests see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parted {
    pub(crate) program: Vec<Token>,
    pub(crate) tests: Vec<Token>,
    /// Modules in files of their own that are declared for tests only.
    pub(crate) test_files: Vec<String>,
}

/// Parts at `#[cfg(test)]`, whatever item it stands on.
pub(crate) fn part(tokens: &[Token]) -> Parted {
    const TEST_ONLY: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut parted = Parted::default();
    let mut at = 0;
    while at < tokens.len() {
        if !starts_with(&tokens[at..], &TEST_ONLY) {
            parted.program.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += TEST_ONLY.len();
        let item = &tokens[at..at + item_len(&tokens[at..])];
        parted.test_files.extend(file_module(item));
        parted.tests.extend_from_slice(item);
        at += item.len();
    }
    parted
}

fn starts_with(tokens: &[Token], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(token, text)| token.is(text))
}

/// Tokens of the item at the start, with its attributes: up to a semicolon outside brackets, or the
/// closing brace of its block.
fn item_len(tokens: &[Token]) -> usize {
    let ends_with_semicolon =
        |token: &Token| ["use", "const", "static", "type"].iter().any(|keyword| token.is(keyword));
    let ends_with_block =
        |token: &Token| ["fn", "mod", "impl"].iter().any(|keyword| token.is(keyword));
    let decisive = tokens.iter().find(|t| ends_with_semicolon(t) || ends_with_block(t));
    let only_semicolon = decisive.is_some_and(ends_with_semicolon);
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol('(' | '[' | '{') => depth += 1,
            Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
            Token::Symbol('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !only_semicolon {
                    return at + 1;
                }
            }
            Token::Symbol(';') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The name in `mod name;`.
fn file_module(item: &[Token]) -> Option<String> {
    let at = item.iter().position(|token| token.is("mod"))?;
    match item.get(at + 1..) {
        Some([Token::Word(name), Token::Symbol(';')]) => Some(name.clone()),
        _ => None,
    }
}

/// Every path that is written out, groups taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`. A
/// path of one word is left out.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let len = path(&tokens[at..], &[], &mut found);
        at += len.max(1);
    }
    found.retain(|path| path.len() > 1);
    found
}

/// Reads the path at the start, behind `prefix`; returns how many tokens it took.
fn path(tokens: &[Token], prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    /// Words that may stand before a path with a leading `::` and are not part of it.
    const BEFORE: [&str; 8] = ["use", "dyn", "impl", "for", "mut", "as", "return", "in"];
    if prefix.is_empty() && tokens.first().is_some_and(|t| BEFORE.iter().any(|word| t.is(word))) {
        return 1;
    }
    let mut words = prefix.to_vec();
    let mut at = usize::from(tokens.first() == Some(&Token::PathSeparator));
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => words.push(word.clone()),
            Some(Token::Symbol('*')) if at > 0 => words.push("*".to_owned()),
            Some(Token::Symbol('{')) if at > 0 => {
                return at + group(&tokens[at..], &words, found);
            }
            _ => {
                found.push(words);
                return at;
            }
        }
        at += 1;
        if tokens.get(at) != Some(&Token::PathSeparator) {
            found.push(words);
            return at;
        }
        at += 1;
    }
}

fn group(tokens: &[Token], prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut at = 1;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Symbol('}') => return at + 1,
            Token::Symbol(_) => at += 1,
            // A new name for what was just read.
            Token::Word(word) if word == "as" => at += 2,
            _ => at += path(&tokens[at..], prefix, found).max(1),
        }
    }
    at
}

/// A name that a `use` brings into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name in the file: that after `as`, or the last of the path.
    pub(crate) name: String,
    /// Others can import it from here.
    pub(crate) is_reexport: bool,
}

/// Parts the imports from the other tokens. Paths that only say who may see an item are left out.
pub(crate) fn imports(tokens: &[Token]) -> (Vec<Import>, Vec<Token>) {
    let (mut imports, mut rest) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let left = &tokens[at..];
        if starts_with(left, &["pub", "(", "in"]) {
            at += left.iter().position(|token| token.is(")")).unwrap_or(left.len());
        } else if starts_with(left, &["use"]) && !starts_with(left, &["use", "<"]) {
            let before = at.checked_sub(1).map(|before| &tokens[before]);
            let is_reexport = before.is_some_and(|token| token.is("pub") || token.is(")"));
            at += 1 + import(&left[1..], &[], is_reexport, &mut imports);
        } else {
            rest.push(left[0].clone());
            at += 1;
        }
    }
    (imports, rest)
}

/// Reads the tree of an import at the start, behind `prefix`; returns how many tokens it took.
fn import(
    tokens: &[Token],
    prefix: &[String],
    is_reexport: bool,
    found: &mut Vec<Import>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut at = usize::from(tokens.first() == Some(&Token::PathSeparator));
    loop {
        match tokens.get(at) {
            Some(Token::Symbol('{')) => {
                at += 1;
                while let Some(token) = tokens.get(at).filter(|token| !token.is("}")) {
                    at += match token {
                        Token::Symbol(_) => 1,
                        _ => import(&tokens[at..], &path, is_reexport, found).max(1),
                    };
                }
                return at + 1;
            }
            Some(Token::Word(word)) => path.push(word.clone()),
            Some(Token::Symbol('*')) => path.push("*".to_owned()),
            _ => return at,
        }
        at += 1;
        if tokens.get(at) != Some(&Token::PathSeparator) {
            break;
        }
        at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let [keyword, Token::Word(alias), ..] = &tokens[at..]
        && keyword.is("as")
    {
        name.clone_from(alias);
        at += 2;
    }
    found.push(Import { path, name, is_reexport });
    at
}

/// Returns true if the tokens contain this run of words and symbols.
pub(crate) fn holds(tokens: &[Token], wanted: &[&str]) -> bool {
    (0..tokens.len()).any(|at| starts_with(&tokens[at..], wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_in(text: &str) -> Vec<String> {
        paths(&tokens(text)).iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        assert_eq!(
            paths_in("use a::{b, c::{self, d as e}, f::*};"),
            ["a::b", "a::c::self", "a::c::d", "a::f::*"]
        );
        assert_eq!(
            paths_in("let x = crate::pb::Header::decode(&y[..]);"),
            ["crate::pb::Header::decode"]
        );
        assert_eq!(paths_in("use ::std::{fs, io};"), ["std::fs", "std::io"]);
        assert_eq!(paths_in("fn f<'a>(x: &'a ::std::fs::File) {}"), ["std::fs::File"]);
    }

    #[test]
    fn strings_comments_and_characters_hold_no_paths() {
        let text = r####"
            //! std::fs
            /* a /* b */ std::fs */
            const A: &str = "std::fs \" std::fs"; const B: &[u8] = br##"std::fs "# "##;
            const C: char = '"'; const D: char = '\''; fn e<'a>(b: &'a str) {} std::net
        "####;
        assert_eq!(paths_in(text), ["std::net"]);
    }

    #[test]
    fn items_for_tests_only_are_parted_from_the_program() {
        let text = "use a::b; #[cfg(test)] use c::{d, e}; #[cfg(test)] mod conformance;
            #[cfg(test)] #[allow(x)] pub(crate) mod tests { fn f() { g::h() } } fn i() { j::k() }";
        let parted = part(&tokens(text));
        let joined =
            |tokens: &[Token]| paths(tokens).iter().map(|path| path.join("::")).collect::<Vec<_>>();
        assert_eq!(joined(&parted.program), ["a::b", "j::k"]);
        assert_eq!(joined(&parted.tests), ["c::d", "c::e", "g::h"]);
        assert_eq!(parted.test_files, ["conformance"]);
    }

    #[test]
    fn imports_are_parted_from_the_rest_with_their_names() {
        let text = "use a::{b, c::{self, d as e}}; pub(super) use f::*; pub use g as h;
            pub(in crate::i) fn j() -> impl k::L + use<> { m::n() }";
        let (found, rest) = imports(&tokens(text));
        let found: Vec<_> = found
            .iter()
            .map(|import| (import.path.join("::"), import.name.as_str(), import.is_reexport))
            .collect();
        let wanted = [
            ("a::b", "b", false),
            ("a::c", "c", false),
            ("a::c::d", "e", false),
            ("f::*", "*", true),
            ("g", "h", true),
        ];
        assert_eq!(found, wanted.map(|(path, name, is)| (path.to_owned(), name, is)));
        let rest: Vec<_> = paths(&rest).iter().map(|path| path.join("::")).collect();
        assert_eq!(rest, ["k::L", "m::n"]);
    }

    #[test]
    fn text_that_is_not_rust_is_read_to_its_end() {
        for text in [
            "\"",
            "'",
            "r#\"",
            "/*",
            "b'\\",
            "::",
            "a::{",
            "a::{b",
            "#[cfg(test)]",
            "é'é",
            "use",
            "use a::{b as",
            "pub(in",
        ] {
            let tokens = tokens(text);
            let _ = (part(&tokens), paths(&tokens), imports(&tokens));
        }
    }
}
