//! Lints the project's own text: who may use whom, what pure modules must not name, and words that
//! are not left behind.
//!
//! One package has no walls between its modules; these tests are the walls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::source::{self, Parted, Token};

/// Modules in reading order: each may use only those before it.
const ORDER: [&str; 19] = [
    "numerals", "ident", "clock", "pb", "value", "merkle", "record", "policy", "exchange", "audit",
    "interop", "store", "partner", "journal", "tls", "node", "rpc", "http", "cli",
];

/// Modules without clock, socket, disk, runtime or randomness: the first eleven.
const PURE: usize = 11;

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
        self.path.file_stem().is_some_and(|stem| stem == "tests")
    }
}

/// Files that only tests compile: named tests.rs, or declared under `#[cfg(test)]`, or below such.
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
        let long = format!("//! What it is for.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(shape_findings(&file("a.rs", &long), false).len(), 1);
        assert_eq!(shape_findings(&file("a.rs", &long), true).len(), 0);
        assert_eq!(shape_findings(&file("a.rs", "use b::c;"), false).len(), 1);
        assert_eq!(shape_findings(&file("a.rs", "//! What it is for."), false).len(), 0);
    }

    #[test]
    fn a_word_of_unfinished_work_is_found_with_its_line() {
        let text = format!("a\n{}(b)\n", WORDS[2]);
        assert_eq!(word_findings(Path::new("f"), &text), [format!("f:2: {}", WORDS[2])]);
        assert!(word_findings(Path::new("f"), "todo = \"warn\"").is_empty());
    }

    #[test]
    fn a_file_is_for_tests_by_name_or_by_declaration() {
        let files = [
            file("store/mod.rs", "#[cfg(test)] mod conformance; mod batch;"),
            file("store/conformance.rs", ""),
            file("store/conformance/case.rs", ""),
            file("store/batch.rs", ""),
            file("value/tests.rs", ""),
        ];
        let tests = test_modules(&files);
        let verdicts: Vec<bool> = files.iter().map(|file| is_for_tests(file, &tests)).collect();
        assert_eq!(verdicts, [false, true, true, false, true]);
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
