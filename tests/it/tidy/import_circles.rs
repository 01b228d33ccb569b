//! Circles of imports: files of one module that need each other, so that none of them can be read alone.
//!
//! A name is followed through re-exports to the file that defines it, so a `mod.rs` that only declares and re-exports
//! is in no circle. Known hole: what is used without its name (methods, fields, inferred types) is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::SourceFile;
use crate::source::{self, Import, Token};

/// Files of one circle.
const CIRCLE_MAX: usize = 3;

/// Larger circles that are there, by module, with their exact sizes: a larger one is refused, and a smaller one is
/// written down here, so that they only shrink.
pub(super) const LARGE_CIRCLES: [(&str, &[usize]); 0] = [];

/// Re-exports that are followed from one name.
const STEPS_MAX: usize = 12;

/// Words before the name of an item that a file defines.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];

/// The files of the program by their modules.
struct Program<'a>(BTreeMap<Vec<String>, Node<'a>>);

struct Node<'a> {
    file: &'a SourceFile,
    imports: Vec<Import>,
    /// The tokens outside imports.
    rest: Vec<Token>,
    words: BTreeSet<String>,
}

impl Node<'_> {
    fn imported(&self, name: &str) -> Option<&Import> {
        self.imports.iter().find(|import| import.name == name)
    }

    fn defines(&self, name: &str) -> bool {
        self.rest.windows(2).any(|pair| match pair {
            [Token::Word(item), Token::Word(found)] => {
                found == name && ITEMS.contains(&item.as_str())
            }
            _ => false,
        })
    }
}

impl<'a> Program<'a> {
    fn new(files: &[&'a SourceFile]) -> Self {
        let node = |file: &'a SourceFile| {
            let (imports, rest) = source::imports(&file.parted.program);
            let words = rest.iter().filter_map(|token| match token {
                Token::Word(word) => Some(word.clone()),
                _ => None,
            });
            let words = words.collect();
            (file.module(), Node { file, imports, rest, words })
        };
        Self(files.iter().copied().map(node).collect())
    }

    /// The path from the root of the package; `None` if it does not begin with `crate`, `self` or `super`.
    fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|word| *word == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module, &path[1..]].concat()),
            "super" => {
                let outer = &module[..module.len().checked_sub(supers)?];
                Some([outer, &path[supers..]].concat())
            }
            _ => None,
        }
    }

    /// The module of the file that defines what a path in `module` names; `None` if it is of another package.
    fn definition(&self, module: &[String], path: &[String], steps: usize) -> Option<Vec<String>> {
        if steps == STEPS_MAX {
            return None;
        }
        let here = self.0.get(module)?;
        let Some(absolute) = Self::absolute(module, path) else {
            let child = [module, &path[..1]].concat();
            if self.0.contains_key(&child) {
                return self.definition_of([module, path].concat(), steps);
            }
            let import = here.imported(&path[0]).filter(|import| import.path != path)?;
            return self.definition(module, &[&import.path[..], &path[1..]].concat(), steps + 1);
        };
        self.definition_of(absolute, steps)
    }

    fn definition_of(&self, absolute: Vec<String>, steps: usize) -> Option<Vec<String>> {
        let len = (0..=absolute.len()).rev().find(|len| self.0.contains_key(&absolute[..*len]))?;
        let (module, rest) = absolute.split_at(len);
        let node = &self.0[module];
        let Some(name) = rest.first().filter(|name| *name != "*") else {
            return Some(module.to_vec());
        };
        if let Some(import) = node.imported(name) {
            let path = [&import.path[..], &rest[1..]].concat();
            let found = self.definition(module, &path, steps + 1);
            return Some(found.unwrap_or_else(|| module.to_vec()));
        }
        let globs = node.imports.iter().filter(|import| import.name == "*");
        let mut through =
            globs.filter_map(|import| self.definition(module, &import.path, steps + 1));
        let found = through.find(|of| self.0.get(of).is_some_and(|node| node.defines(name)));
        Some(found.unwrap_or_else(|| module.to_vec()))
    }

    /// The other files of its top-level module that a file uses.
    fn used(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let node = &self.0[module];
        // A re-export is no use; the name may be used beside it.
        let imports = node
            .imports
            .iter()
            .filter(|import| !import.is_reexport || node.words.contains(&import.name));
        let paths = imports.map(|import| import.path.clone()).chain(source::paths(&node.rest));
        paths
            .filter_map(|path| self.definition(module, &path, 0))
            .filter(|used| used != module && used.first() == module.first())
            .collect()
    }
}

/// Everything that can be reached from a node.
fn reached<'a>(
    from: &'a Vec<String>,
    uses: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
) -> BTreeSet<&'a Vec<String>> {
    let mut found = BTreeSet::new();
    let mut left = vec![from];
    while let Some(next) = left.pop() {
        left.extend(uses[next].iter().filter(|used| found.insert(*used)));
    }
    found
}

/// Files that use each other, directly or not, by the module that they are in. Test files are not among `files`.
pub(super) fn circles(files: &[&SourceFile]) -> Vec<(String, Vec<PathBuf>)> {
    let program = Program::new(files);
    let modules = program.0.keys().filter(|module| !module.is_empty());
    let uses: BTreeMap<_, _> =
        modules.map(|module| (module.clone(), program.used(module))).collect();
    let reached: BTreeMap<_, _> =
        uses.keys().map(|module| (module, reached(module, &uses))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (module, from) in &reached {
        if seen.contains(module) || !from.contains(module) {
            continue;
        }
        let circle: Vec<_> =
            from.iter().filter(|other| reached[**other].contains(module)).collect();
        let paths = circle.iter().map(|member| program.0[**member].file.path.clone()).collect();
        seen.extend(circle.into_iter().copied());
        circles.push((module[0].clone(), paths));
    }
    circles
}

/// The circles that are too large, and the exceptions that are not needed any more.
pub(super) fn findings(files: &[&SourceFile], exceptions: &[(&str, &[usize])]) -> Vec<String> {
    let mut large: BTreeMap<String, Vec<Vec<PathBuf>>> = BTreeMap::new();
    for (module, circle) in circles(files).into_iter().filter(|(_, of)| of.len() > CIRCLE_MAX) {
        large.entry(module).or_default().push(circle);
    }
    for (module, _) in exceptions {
        large.entry((*module).to_owned()).or_default();
    }
    let mut findings = Vec::new();
    for (module, circles) in large {
        let mut found: Vec<usize> = circles.iter().map(Vec::len).collect();
        found.sort_unstable();
        let known = exceptions.iter().find(|(name, _)| *name == module);
        let known = known.map_or(&[][..], |(_, sizes)| *sizes);
        if found != known {
            let names: Vec<Vec<String>> = circles
                .iter()
                .map(|of| of.iter().map(|path| path.display().to_string()).collect())
                .collect();
            findings.push(format!(
                "{module}: circles of {found:?} files that import each other, at most {CIRCLE_MAX} or the exceptions {known:?}: {names:?}"
            ));
        }
    }
    findings
}

/// The rule finds circles however they are closed, and nothing in what is sound.
mod samples {
    use super::*;

    fn sizes(files: &[(&str, &str)]) -> Vec<usize> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
        circles(&files.iter().collect::<Vec<_>>()).iter().map(|(_, of)| of.len()).collect()
    }

    #[test]
    fn a_circle_is_found_however_it_is_written() {
        let of = |a: &str, b: &str, c: &str| {
            sizes(&[
                ("m/mod.rs", "mod a; mod b; mod c; pub use a::A; use std::fmt;"),
                ("m/a.rs", a),
                ("m/b.rs", b),
                ("m/c.rs", c),
            ])
        };
        let c = "use crate::m::{a::A as Other, n}; fn c() {}";
        assert_eq!(of("use super::b; struct A;", "use super::c::c; fn b() {}", c), [3]);
        assert_eq!(of("fn f() { super::b::b() } struct A;", "use crate::m::c; fn b() {}", c), [3]);
        assert_eq!(of("use super::b::*; struct A;", "use super::c::*; fn b() {}", c), [3]);
        let through_alias = "use super::b as x; fn f() { x::b() } struct A;";
        assert_eq!(of(through_alias, "fn b() { crate::m::c::c() }", c), [3]);
        // The re-export of the parent leads to a.
        assert_eq!(of("use super::b::b; struct A;", "use super::A; fn b() {}", ""), [2]);
    }

    #[test]
    fn a_module_that_only_declares_and_reexports_is_in_no_circle() {
        let mod_file = "mod a; mod b; pub use a::A; pub(crate) use b::{B, b};";
        let (a, b) = ("use super::B; pub struct A;", "pub struct B; pub fn b() {}");
        assert!(sizes(&[("m/mod.rs", mod_file), ("m/a.rs", a), ("m/b.rs", b)]).is_empty());
        // A parent that uses what it re-exports is in one, with a file that uses the parent.
        let parent = "mod a; pub use a::A; pub struct P(A);";
        let child = "use super::P; pub struct A; fn f(_: P) {}";
        assert_eq!(sizes(&[("m/mod.rs", parent), ("m/a.rs", child)]), [2]);
    }

    #[test]
    fn visibility_tests_text_and_other_modules_close_no_circle() {
        let a = "use super::b::B; pub(in crate::m::a) struct A;";
        for b in [
            "pub(in crate::m::a) struct B;",
            "pub struct B; #[cfg(test)] mod tests { use super::super::a::A; }",
            "//! [`super::a::A`]\nconst C: &str = \"super::a::A\"; pub struct B;",
            "use crate::n::N; pub struct B;",
        ] {
            let n = ("n/mod.rs", "use crate::m::a::A; pub struct N;");
            assert!(sizes(&[("m/a.rs", a), ("m/b.rs", b), n]).is_empty(), "{b}");
        }
    }

    #[test]
    fn a_circle_of_more_than_three_files_is_found_and_so_is_an_exception_that_shrank() {
        let text = |next: &str| format!("use super::{next}; pub struct X;");
        let ring = |len: usize| -> Vec<SourceFile> {
            let of = |at: usize| text(&format!("f{}", (at + 1) % len));
            (0..len).map(|at| SourceFile::new(format!("m/f{at}.rs"), of(at))).collect()
        };
        let found = |len: usize, exceptions: &[(&str, &[usize])]| {
            findings(&ring(len).iter().collect::<Vec<_>>(), exceptions).len()
        };
        assert_eq!(found(3, &[]), 0);
        assert_eq!(found(4, &[]), 1);
        assert_eq!(found(4, &[("m", &[4])]), 0);
        assert_eq!(found(4, &[("m", &[5])]), 1);
        assert_eq!(found(5, &[("m", &[4])]), 1);
        assert_eq!(found(3, &[("m", &[4])]), 1);
    }
}
