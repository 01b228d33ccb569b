//! The lints of the project's own text: order and purity of modules, first words of comments, and
//! words and names that must not be there.
//!
//! One package has no walls between its modules; these tests are the walls.

mod import_circles;
mod messages;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source::{self, Parted, Token};

/// Modules in reading order: each may use only those before it.
const ORDER: [&str; 20] = [
    "numerals",
    "ident",
    "clock",
    "pb",
    "value",
    "merkle",
    "record",
    "policy",
    "exchange",
    "disclosure",
    "audit",
    "interop",
    "store",
    "partner",
    "journal",
    "tls",
    "node",
    "rpc",
    "http",
    "cli",
];

/// Modules without clock, socket, disk, runtime or randomness: the first twelve.
const PURE: usize = 12;

/// The names that a pure module must not use. Addresses as values are in `core::net`.
const IMPURE: [&str; 12] = [
    "tokio",
    "tonic",
    "sled",
    "fjall",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "getrandom",
    "rustls",
    "tokio_rustls",
];

/// Lines of a file: more is two meanings in one place.
const LINES_MAX: usize = 700;
/// Lines of a file of tests, which is read by the case and not as a whole.
const TEST_LINES_MAX: usize = 1_000;

/// Words that mark unfinished work; written in two parts so that this file may be checked too.
const WORDS: [&str; 5] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Words that begin a clause. A doc comment or help text begins with a noun phrase or a verb instead.
const CLAUSE_WORDS: [&str; 16] = [
    "that",
    "what",
    "whatever",
    "when",
    "whenever",
    "where",
    "wherever",
    "whether",
    "which",
    "whichever",
    "who",
    "whoever",
    "whom",
    "whose",
    "why",
    "how",
];

/// Words before which a clause word begins a clause too: `of which`, `by whose`. "In that case" does
/// not.
const PREPOSITIONS: [&str; 13] =
    ["about", "at", "by", "for", "from", "in", "of", "on", "since", "to", "until", "under", "with"];

/// The beginnings of attributes whose text is shown as help or documentation.
const TEXT_ATTRIBUTES: [&str; 3] = ["help = \"", "about = \"", "doc = \""];

/// Names that were replaced by better ones, and names that mean nothing in this project. A name that
/// contains all words of an entry in a row is one of them. A renamed type, module or function gets
/// an entry here.
const RETIRED: [&str; 21] = [
    "attested",
    "dealings",
    "feed_leaves",
    "glance",
    "helper",
    "helpers",
    "manager",
    "misc",
    "moment",
    "overtaken",
    "partner_entry",
    "said",
    "saying",
    "sight",
    "sorts",
    "term_key",
    "unanswered",
    "untold",
    "usual_rows",
    "util",
    "utils",
];

/// A file below src/.
struct SourceFile {
    /// Relative to src/.
    path: PathBuf,
    text: String,
    parted: Parted,
}

impl SourceFile {
    fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { path: path.into(), parted: source::part(&source::tokens(&text)), text }
    }

    /// The path of its module: `store/sled_engine.rs` is `[store, sled_engine]`, `lib.rs` is empty.
    fn module(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .path
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            parts.pop();
        }
        parts
    }

    fn is_named_tests(&self) -> bool {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        stem == "tests" || stem.ends_with("_tests")
    }
}

/// Files that only tests compile: named tests.rs or something_tests.rs, or declared under `#[cfg(test)]`, or
/// below such.
fn test_modules(files: &[SourceFile]) -> BTreeSet<Vec<String>> {
    let declared = files.iter().flat_map(|file| {
        file.parted.test_files.iter().map(|name| [file.module(), vec![name.clone()]].concat())
    });
    let named = files.iter().filter(|file| file.is_named_tests()).map(SourceFile::module);
    declared.chain(named).collect()
}

fn is_for_tests(file: &SourceFile, test_modules: &BTreeSet<Vec<String>>) -> bool {
    let module = file.module();
    (1..=module.len()).any(|len| test_modules.contains(&module[..len]))
}

/// The top-level modules that a path may mean, from within `module`.
fn top_level(path: &[String], module: &[String]) -> Option<String> {
    let supers = path.iter().take_while(|word| *word == "super").count();
    let depth = if supers > 0 { supers } else { 1 };
    let reaches_root = if supers > 0 { supers == module.len() } else { path[0] == "crate" };
    path.get(depth).filter(|_| reaches_root).cloned()
}

fn order_findings(file: &SourceFile, order: &[&str]) -> Vec<String> {
    let module = file.module();
    let Some(own) = module.first() else { return Vec::new() };
    let rank = |name: &str| order.iter().position(|known| *known == name);
    let Some(own_rank) = rank(own) else {
        return vec![format!("{}: module {own} has no place in the order", file.path.display())];
    };
    source::paths(&file.parted.program)
        .iter()
        .filter_map(|path| top_level(path, &module).map(|used| (path, used)))
        .filter(|(_, used)| used != own && rank(used).is_none_or(|used| used > own_rank))
        .map(|(path, used)| {
            format!(
                "{}: {} uses {used}, which stands below it",
                file.path.display(),
                path.join("::")
            )
        })
        .collect()
}

fn purity_findings(file: &SourceFile) -> Vec<String> {
    let module = file.module();
    let Some(own) = module.first().filter(|own| ORDER[..PURE].contains(&own.as_str())) else {
        return Vec::new();
    };
    let is_prefix = |impure: &str, path: &[String]| {
        let impure: Vec<&str> = impure.split("::").collect();
        path.len() >= impure.len() && impure.iter().zip(path).all(|(a, b)| a == b)
    };
    source::paths(&file.parted.program)
        .iter()
        .filter(|path| IMPURE.iter().any(|impure| is_prefix(impure, path)))
        .filter(|path| own != "pb" || path[0] != "tonic")
        .map(|path| format!("{}: pure {own} names {}", file.path.display(), path.join("::")))
        .collect()
}

/// Finds sleeps and ignored tests; `text` is a whole file of tests or the test part of one.
fn test_findings(name: &Path, tests: &[Token]) -> Vec<String> {
    let sleeps = source::paths(tests)
        .into_iter()
        .filter(|path| path.last().is_some_and(|last| last.starts_with("sleep")))
        .map(|path| format!("{}: a test sleeps: {}", name.display(), path.join("::")));
    let ignored = source::holds(tests, &["#", "[", "ignore"])
        .then(|| format!("{}: a test is ignored", name.display()));
    sleeps.chain(ignored).collect()
}

fn shape_findings(file: &SourceFile, for_tests: bool) -> Vec<String> {
    let lines = file.text.lines().count();
    let most = if for_tests { TEST_LINES_MAX } else { LINES_MAX };
    let long =
        (lines > most).then(|| format!("{}: {lines} lines, at most {most}", file.path.display()));
    let bare = (!file.text.starts_with("//!"))
        .then(|| format!("{}: does not begin with what it is for", file.path.display()));
    long.into_iter().chain(bare).collect()
}

fn word_findings(name: &Path, text: &str) -> Vec<String> {
    let found = |(number, line): (usize, &str)| {
        let word = WORDS.iter().find(|word| line.contains(*word))?;
        Some(format!("{}:{number}: {word}", name.display()))
    };
    (1..).zip(text.lines()).filter_map(found).collect()
}

/// The first line of each doc comment and help text, without its mark, with the number of the line.
fn first_lines(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut before = None;
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.trim_start();
        let mark = ["///", "//!"].into_iter().find(|mark| comment.starts_with(*mark));
        if let Some(mark) = mark.filter(|_| mark != before) {
            found.push((number, &comment[mark.len()..]));
        }
        if mark.is_none() {
            let attributes = TEXT_ATTRIBUTES.iter().filter_map(|begin| line.split_once(begin));
            found.extend(attributes.map(|(_, text)| (number, text)));
        }
        before = mark;
    }
    found
}

fn begins_with_a_clause(text: &str) -> bool {
    let mut words = text.split_whitespace().map(|word| {
        word.trim_end_matches(|c: char| c.is_ascii_punctuation() && c != '`').to_lowercase()
    });
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_clause_word = |word: &str| CLAUSE_WORDS.contains(&word);
    is_clause_word(&first)
        || PREPOSITIONS.contains(&first.as_str()) && is_clause_word(&second) && second != "that"
}

fn comment_findings(name: &Path, text: &str) -> Vec<String> {
    first_lines(text)
        .into_iter()
        .filter(|(_, line)| begins_with_a_clause(line))
        .map(|(number, line)| format!("{}:{number}: begins with a clause:{line}", name.display()))
        .collect()
}

/// The name in small letters, its words joined by underscores.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// The names that are declared after one of these keywords.
fn names_after(tokens: &[Token], keywords: &[&str]) -> Vec<String> {
    let declared = |pair: &[Token]| match pair {
        [Token::Word(keyword), Token::Word(name)] if keywords.contains(&keyword.as_str()) => {
            Some(name.clone())
        }
        _ => None,
    };
    tokens.windows(2).filter_map(declared).collect()
}

/// Finds retired names of files, modules, types and functions. A test function is left out, because
/// its name is a sentence.
fn name_findings(file: &SourceFile, for_tests: bool) -> Vec<String> {
    let Parted { program, tests, .. } = &file.parted;
    let keywords = ["struct", "enum", "trait", "type", "mod"];
    let mut names = [names_after(program, &keywords), names_after(tests, &keywords)].concat();
    if !for_tests {
        names.extend(names_after(program, &["fn"]));
    }
    let path = file.path.with_extension("");
    names.extend(path.iter().map(|part| part.to_string_lossy().into_owned()));
    let is_retired = |name: &String| {
        let name = format!("_{}_", snake_case(name));
        RETIRED.iter().any(|retired| name.contains(&format!("_{retired}_")))
    };
    names.retain(is_retired);
    names.iter().map(|name| format!("{}: {name} is a retired name", file.path.display())).collect()
}

/// The modules that lib.rs declares, in its order.
fn declared(lib: &SourceFile) -> Vec<String> {
    lib.parted
        .program
        .windows(3)
        .filter_map(|window| match window {
            [Token::Word(keyword), Token::Word(name), Token::Symbol(';')] if keyword == "mod" => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect()
}

fn declaration_findings(lib: &SourceFile) -> Vec<String> {
    let declared = declared(lib);
    let wanted: Vec<&str> =
        ORDER.into_iter().filter(|name| declared.iter().any(|found| found == name)).collect();
    if declared == wanted {
        return Vec::new();
    }
    vec![format!("lib.rs declares {declared:?}, wanted {wanted:?} and nothing else")]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn source_files() -> Vec<SourceFile> {
    let src = root().join("src");
    files_below(&src, "rs")
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            SourceFile::new(path.strip_prefix(&src).unwrap(), text)
        })
        .collect()
}

/// Every Rust file of the project, with its path from the root.
fn rust_files() -> Vec<SourceFile> {
    let below = ["src", "tests", "benches", "fuzz/fuzz_targets"]
        .into_iter()
        .flat_map(|dir| files_below(&root().join(dir), "rs"));
    below
        .chain(["build.rs", "fuzz/bodies.rs"].map(|file| root().join(file)))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            SourceFile::new(path.strip_prefix(root()).unwrap(), text)
        })
        .collect()
}

/// Names of the files that git keeps; none where the source lies without its history.
fn tracked_files() -> Vec<PathBuf> {
    let output = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "ls-files", "-z"])
        .output();
    let names = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    names
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .collect()
}

#[track_caller]
fn nothing_found(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn modules_are_declared_in_their_order() {
    let files = source_files();
    nothing_found(&declaration_findings(files.iter().find(|f| f.path == *"lib.rs").unwrap()));
}

#[test]
fn a_module_uses_only_those_above_it() {
    let files = source_files();
    let tests = test_modules(&files);
    let program = files.iter().filter(|file| !is_for_tests(file, &tests));
    nothing_found(&program.flat_map(|file| order_findings(file, &ORDER)).collect::<Vec<_>>());
}

#[test]
fn pure_modules_name_no_clock_disk_socket_or_runtime() {
    let files = source_files();
    let tests = test_modules(&files);
    let program = files.iter().filter(|file| !is_for_tests(file, &tests));
    nothing_found(&program.flat_map(purity_findings).collect::<Vec<_>>());
}

#[test]
fn at_most_three_files_of_a_module_import_each_other() {
    let files = source_files();
    let tests = test_modules(&files);
    let program: Vec<_> = files.iter().filter(|file| !is_for_tests(file, &tests)).collect();
    nothing_found(&import_circles::findings(&program, &import_circles::LARGE_CIRCLES));
}

#[test]
fn tests_neither_sleep_nor_are_left_out() {
    let files = source_files();
    let tests = test_modules(&files);
    let mut findings: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let whole = is_for_tests(file, &tests);
            let program: &[Token] = if whole { &file.parted.program } else { &[] };
            [test_findings(&file.path, program), test_findings(&file.path, &file.parted.tests)]
                .concat()
        })
        .collect();
    for path in files_below(&root().join("tests"), "rs") {
        let tokens = source::tokens(&std::fs::read_to_string(&path).unwrap());
        findings.extend(test_findings(path.strip_prefix(root()).unwrap(), &tokens));
    }
    nothing_found(&findings);
}

#[test]
fn files_are_short_and_begin_with_what_they_are_for() {
    let files = source_files();
    let tests = test_modules(&files);
    let findings: Vec<String> =
        files.iter().flat_map(|file| shape_findings(file, is_for_tests(file, &tests))).collect();
    nothing_found(&findings);
}

#[test]
fn no_word_of_unfinished_work_is_left_in_a_tracked_file() {
    let findings: Vec<String> = tracked_files()
        .iter()
        .filter_map(|name| Some((name, std::fs::read_to_string(root().join(name)).ok()?)))
        .flat_map(|(name, text)| word_findings(name, &text))
        .collect();
    nothing_found(&findings);
}

#[test]
fn no_doc_comment_or_help_text_begins_with_a_clause() {
    let findings: Vec<String> =
        rust_files().iter().flat_map(|file| comment_findings(&file.path, &file.text)).collect();
    nothing_found(&findings);
}

#[test]
fn no_retired_name_comes_back() {
    let sources = source_files();
    let tests = test_modules(&sources);
    let of_sources =
        sources.iter().flat_map(|file| name_findings(file, is_for_tests(file, &tests)));
    let others = rust_files();
    let others = others.iter().filter(|file| !file.path.starts_with("src"));
    let findings: Vec<String> =
        of_sources.chain(others.flat_map(|file| name_findings(file, true))).collect();
    nothing_found(&findings);
}

/// Each check finds what it is for, and nothing in what is sound.
mod samples {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile::new(path, text)
    }

    #[test]
    fn a_use_of_a_lower_module_is_found_however_it_is_written() {
        for (path, text) in [
            ("record/mod.rs", "use crate::store::Batch;"),
            ("record/mod.rs", "use crate::{ident::RecordId, store::Batch};"),
            ("record/mod.rs", "fn f() { crate::node::start() }"),
            ("record/mod.rs", "use super::cli;"),
            ("record/signed.rs", "use super::super::policy::decide;"),
            ("record.rs", "pub(in crate::node) struct A;"),
            ("record.rs", "use crate::unheard_of::A;"),
            ("unheard_of.rs", ""),
        ] {
            assert_eq!(order_findings(&file(path, text), &ORDER).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn a_use_of_an_upper_module_is_sound_and_so_are_tests_and_text() {
        for (path, text) in [
            ("record/mod.rs", "use crate::{ident::RecordId, merkle};"),
            ("record/mod.rs", "use crate::record::kind::Kind; use self::kind; use super::merkle;"),
            ("record/signed.rs", "use super::kind::Kind; use super::super::merkle::Note;"),
            ("record/signed.rs", "#[cfg(test)] mod tests { use crate::store::Batch; }"),
            ("record/signed.rs", "//! crate::store\nconst A: &str = \"crate::store::B\";"),
            ("lib.rs", "use crate::cli::A;"),
        ] {
            assert!(order_findings(&file(path, text), &ORDER).is_empty(), "{path}: {text}");
        }
    }

    #[test]
    fn an_impure_name_is_found_in_pure_modules_only() {
        for text in [
            "use std::fs::File;",
            "use std::{fmt, net::IpAddr};",
            "fn f() { std::thread::spawn(g); }",
            "use std::time::{Duration, Instant};",
            "#[tokio::main] fn f() {}",
            "use tonic::Status;",
            "fn f() { getrandom::fill(&mut [0]) }",
        ] {
            assert_eq!(purity_findings(&file("policy/mod.rs", text)).len(), 1, "{text}");
            assert!(purity_findings(&file("store/mod.rs", text)).is_empty(), "{text}");
        }
        for text in ["use std::time::Duration;", "use core::net::IpAddr;", "// std::fs::File"] {
            assert!(purity_findings(&file("policy/mod.rs", text)).is_empty(), "{text}");
        }
        assert!(purity_findings(&file("pb.rs", "tonic::include_proto!(\"x\");")).is_empty());
    }

    #[test]
    fn a_test_that_sleeps_or_is_ignored_is_found() {
        let found = |text: &str| test_findings(Path::new("t"), &source::tokens(text)).len();
        assert_eq!(found("fn f() { std::thread::sleep(D) }"), 1);
        assert_eq!(found("use tokio::time::{sleep, timeout};"), 1);
        assert_eq!(found("fn f() { tokio::time::sleep_until(t).await }"), 1);
        assert_eq!(found("#[ignore = \"slow\"] fn f() {}"), 1);
        assert_eq!(found("fn f() { tokio::time::timeout(d, g()).await } // thread::sleep"), 0);
    }

    #[test]
    fn a_long_or_unexplained_file_is_found() {
        let long = format!("//! Its purpose.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(shape_findings(&file("a.rs", &long), false).len(), 1);
        assert_eq!(shape_findings(&file("a.rs", &long), true).len(), 0);
        assert_eq!(shape_findings(&file("a.rs", "use b::c;"), false).len(), 1);
        assert_eq!(shape_findings(&file("a.rs", "//! Its purpose."), false).len(), 0);
    }

    #[test]
    fn a_word_of_unfinished_work_is_found_with_its_line() {
        let text = format!("a\n{}(b)\n", WORDS[2]);
        assert_eq!(word_findings(Path::new("f"), &text), [format!("f:2: {}", WORDS[2])]);
        assert!(word_findings(Path::new("f"), "todo = \"warn\"").is_empty());
    }

    #[test]
    fn a_comment_or_help_text_that_begins_with_a_clause_is_found_with_its_line() {
        let found = |text: &str| comment_findings(Path::new("f"), text);
        for text in [
            "//! What it is for.",
            "/// Whether it holds.\n/// It does.\nfn f() {}",
            "mod a {\n    /// How: by hand.\n    const A: u8 = 1;\n}",
            "/// Why",
            "/// That all is here.",
            "/// Of which sort it is.",
            "/// By whose key",
            "//! The index.\n/// where it lies.",
            "#[arg(long, help = \"When to stop\")]",
            "#[command(after_help = \"Until when it goes on\")]",
            "#[doc = \"Who calls.\"]",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
        assert_eq!(
            found("a\n/// Whom it is for.\n"),
            ["f:2: begins with a clause: Whom it is for."]
        );
    }

    #[test]
    fn a_comment_that_begins_with_a_noun_or_a_verb_is_sound() {
        for text in [
            "/// The reason why it fails.\n/// What follows is another line.",
            "/// Returns true if it holds.",
            "/// In that case nothing is sent.",
            "/// `what` names it.",
            "/// Whole frames.",
            "/// Of the feed.",
            "// What a comment without a third stroke begins with is free.",
            "#[error(\"what it holds is unknown\")]",
            "const A: &str = \"/// What\";",
        ] {
            assert!(comment_findings(Path::new("f"), text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_retired_name_is_found_in_either_spelling_and_in_a_path() {
        for (path, text) in [
            ("a.rs", "struct PartnerEntry;"),
            ("a.rs", "pub enum KeyManager {}"),
            ("a.rs", "type Util = u8;"),
            ("a.rs", "mod partner_entry;"),
            ("a.rs", "pub(super) async fn partner_entry_of() {}"),
            ("a.rs", "#[cfg(test)] mod utils {}"),
            ("store/utils.rs", ""),
            ("partner_entry/mod.rs", ""),
        ] {
            assert_eq!(name_findings(&file(path, text), false).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn a_word_within_a_word_and_the_name_of_a_test_are_no_retired_names() {
        for text in [
            "struct Utility; struct Partner; struct Entry;",
            "fn entry_of_partner() {}",
            "const A: &str = \"struct Manager\"; // struct Manager",
            "fn f() { manager(); }",
        ] {
            assert!(name_findings(&file("a.rs", text), false).is_empty(), "{text}");
        }
        assert!(name_findings(&file("a.rs", "fn a_helper_is_named() {}"), true).is_empty());
        let tests = "#[cfg(test)] mod tests { fn a_helper_is_named() {} }";
        assert!(name_findings(&file("a.rs", tests), false).is_empty());
    }

    #[test]
    fn a_file_is_for_tests_by_name_or_by_declaration() {
        let files = [
            file("store/mod.rs", "#[cfg(test)] mod conformance; mod batch;"),
            file("store/conformance.rs", ""),
            file("store/conformance/case.rs", ""),
            file("store/batch.rs", ""),
            file("value/tests.rs", ""),
            file("policy/select_tests.rs", ""),
        ];
        let tests = test_modules(&files);
        let verdicts: Vec<bool> = files.iter().map(|file| is_for_tests(file, &tests)).collect();
        assert_eq!(verdicts, [false, true, true, false, true, true]);
    }

    #[test]
    fn modules_out_of_order_or_unknown_are_found() {
        for (text, findings) in [
            ("pub mod ident; pub mod pb; #[cfg(test)] mod anything;", 0),
            ("pub mod pb; pub mod ident;", 1),
            ("pub mod ident; mod utils;", 1),
        ] {
            assert_eq!(declaration_findings(&file("lib.rs", text)).len(), findings, "{text}");
        }
    }
}
