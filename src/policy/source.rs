//! Policy files as text: bounds, parsing, and where each policy stands.
//!
//! The bounds are measured on the text before the parser sees it: a tree that is too deep would
//! take the stack of whoever walks it.

use std::sync::Arc;

use cedar_policy::{Policy, PolicySet, pst};
use miette::Diagnostic;

use super::finding::{Finding, Place};

/// All files of a bundle together: a thousand policies of a full page each.
pub const BUNDLE_BYTES_MAX: usize = 1 << 20;
/// Files of a bundle: one for each agreement, and room.
pub const FILES_MAX: usize = 256;
/// One policy with its annotations: long lists of partners fit, programs don't.
pub const POLICY_BYTES_MAX: usize = 16 << 10;
/// Connectives, brackets inside one another and dots in a row of one policy, taken together: the
/// depth of its tree can't be more. Cedar walks trees by recursion; in a debug build on a stack of
/// 2 MiB it was seen to fail from about 44.
pub const POLICY_DEPTH_MAX: usize = 32;
/// The ending of a file name with examples: given facts and the decision expected of them. Such a
/// file is part of a bundle and of its hash, and does not change what is shared.
pub const EXAMPLES_ENDING: &str = ".test.toml";
/// Either of them ends a comment for Cedar, so that what follows is policy again.
const ENDS_COMMENT: [char; 2] = ['\n', '\r'];
/// Findings reported of one bundle; whoever has more of them starts with these.
pub(super) const FINDINGS_MAX: usize = 200;

/// Returns true if a file of this name holds examples and not policies.
pub fn is_examples(file: &str) -> bool {
    file.ends_with(EXAMPLES_ENDING)
}

/// One policy of a file.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    pub(super) policy: Policy,
    pub(super) body: pst::Template,
    pub(super) place: Place,
    /// The policy as it stands in the file.
    pub(super) text: String,
}

/// The policies of a file in their order.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Vec<Parsed>, Vec<Finding>> {
    measure(file, text).map_err(|finding| vec![finding])?;
    parse_unmeasured(file, text)
}

/// The same of a text that is known to be neither long nor deep.
pub(super) fn parse_unmeasured(file: &Arc<str>, text: &str) -> Result<Vec<Parsed>, Vec<Finding>> {
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors
            .iter()
            .take(FINDINGS_MAX)
            .map(|error| diagnosed(error, file, text, &Place::of(file, text, 0)))
            .collect::<Vec<_>>()
    })?;
    if let Some(template) = set.templates().next() {
        let offset = text.find('?').unwrap_or_default();
        return Err(vec![
            Finding::at(
                &Place::of(file, text, offset),
                format!("template slots are not used here: {}", slots(template)),
            )
            .with_help("name the partner, or keep what differs in the partner's facts and tags"),
        ]);
    }
    // Cedar numbers the policies of a text policy0, policy1, ... in their order.
    let mut policies: Vec<_> = set.policies().collect();
    policies.sort_by_key(|policy| {
        policy.id().to_string().trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    });
    let mut cursor = 0;
    policies.into_iter().map(|policy| place(policy, file, text, &mut cursor)).collect()
}

fn slots(template: &cedar_policy::Template) -> String {
    let mut names: Vec<_> = template.slots().map(ToString::to_string).collect();
    names.sort();
    names.join(", ")
}

fn place(
    policy: &Policy,
    file: &Arc<str>,
    text: &str,
    cursor: &mut usize,
) -> Result<Parsed, Vec<Finding>> {
    let own = policy.to_cedar().unwrap_or_default();
    let offset = policy_start(text, *cursor, &own);
    *cursor = offset + own.len();
    let place = Place::of(file, text, offset);
    let body = match policy.to_pst() {
        Ok(tree) => tree.body().clone(),
        Err(error) => return Err(vec![Finding::at(&place, error.to_string())]),
    };
    Ok(Parsed { policy: policy.clone(), body, place, text: own })
}

/// Policies follow one another with nothing but space and comments between.
fn policy_start(text: &str, from: usize, own: &str) -> usize {
    let mut at = from;
    loop {
        let rest = &text[at.min(text.len())..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            break;
        }
        at += trimmed.find(ENDS_COMMENT).unwrap_or(trimmed.len());
    }
    if text[at..].starts_with(own) { at } else { text[from..].find(own).map_or(from, |n| from + n) }
}

/// Makes a finding of Cedar's message, at the place that it points to.
pub(super) fn diagnosed(
    said: &dyn Diagnostic,
    file: &Arc<str>,
    text: &str,
    otherwise: &Place,
) -> Finding {
    let label = said.labels().and_then(|mut labels| labels.next());
    let place =
        label.as_ref().map_or_else(|| otherwise.clone(), |l| Place::of(file, text, l.offset()));
    let mut finding = Finding::at(&place, said.to_string());
    let detail = label.as_ref().and_then(|l| l.label()).map(str::to_owned);
    finding.help = said.help().map(|help| help.to_string()).or(detail);
    finding
}

/// Refuses a text with a policy that is too long or too deep.
fn measure(file: &Arc<str>, text: &str) -> Result<(), Finding> {
    let mut scan = Scan::default();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let comment = c == '/' && chars.peek().is_some_and(|(_, next)| *next == '/');
        if !comment && !c.is_whitespace() {
            scan.start.get_or_insert(at);
        }
        match c {
            _ if comment => while chars.next_if(|(_, c)| !ENDS_COMMENT.contains(c)).is_some() {},
            '"' => {
                while let Some((_, c)) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => scan.step(at, c, text),
        }
        let reached = chars.peek().map_or(text.len(), |(at, _)| *at);
        if let Some(finding) = scan.excess(reached) {
            return Err(Finding::at(
                &Place::of(file, text, scan.start.unwrap_or_default()),
                finding,
            ));
        }
    }
    Ok(())
}

/// The state of reading one policy.
#[derive(Default)]
struct Scan {
    /// The byte at which the policy starts, once it does.
    start: Option<usize>,
    connectives: usize,
    open: usize,
    open_most: usize,
    dots: usize,
    dots_most: usize,
}

impl Scan {
    fn step(&mut self, at: usize, c: char, text: &str) {
        match c {
            ';' => *self = Self { open: self.open, ..Self::default() },
            '(' | '[' | '{' => self.open += 1,
            ')' | ']' | '}' => self.open = self.open.saturating_sub(1),
            '.' => self.dots += 1,
            ',' | '=' | '<' | '>' => self.dots = 0,
            _ => {}
        }
        // Clauses are joined like conditions.
        let connects = ["&&", "||", "+", "-", "*", "!", "if", "{"];
        if connects.iter().any(|sign| text[at..].starts_with(sign)) {
            self.connectives += 1;
            self.dots = 0;
        }
        self.open_most = self.open_most.max(self.open);
        self.dots_most = self.dots_most.max(self.dots);
    }

    fn excess(&self, reached: usize) -> Option<String> {
        let bytes = reached.saturating_sub(self.start.unwrap_or(reached));
        if bytes > POLICY_BYTES_MAX {
            return Some(format!(
                "a policy has at most {POLICY_BYTES_MAX} bytes; this one has more"
            ));
        }
        (self.connectives + self.open_most + self.dots_most > POLICY_DEPTH_MAX).then(|| {
            format!(
                "a policy has at most {POLICY_DEPTH_MAX} connectives, brackets inside one another \
                 and dots in a row; this one has more: split it, or use a list"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Parsed>, Vec<Finding>> {
        parse(&"a.cedar".into(), text)
    }

    #[test]
    fn each_policy_knows_its_line() {
        let one = r#"permit (principal, action, resource) when { "a//;" == "\"b" };"#;
        let text = format!("// {one}\n\n{one}\n  // x\n  @id(\"é\")\n  {one} {one}");
        let places: Vec<_> =
            parsed(&text).unwrap().iter().map(|p| (p.place.line, p.place.column)).collect();
        assert_eq!(places[..2], [(3, 1), (5, 3)]);
        assert_eq!(places[2].0, 6);
        assert!(places[2].1 > 40);
    }

    #[test]
    fn more_than_ten_policies_keep_their_order() {
        let text: String = (0..12)
            .map(|n| format!("@id(\"{n}\") permit (principal, action, resource);\n"))
            .collect();
        let ids: Vec<_> = parsed(&text)
            .unwrap()
            .iter()
            .map(|p| p.policy.annotation("id").unwrap_or_default().parse::<usize>().unwrap())
            .collect();
        assert_eq!(ids, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn a_syntax_error_is_found_where_it_is() {
        let findings =
            parsed("permit (principal, action, resource)\nwhen { resource. };").unwrap_err();
        assert_eq!((findings[0].line, findings[0].column), (2, 18), "{findings:?}");
    }

    #[test]
    fn a_template_is_refused() {
        let findings = parsed("permit (principal == ?principal, action, resource);").unwrap_err();
        assert_eq!(findings[0].message, "template slots are not used here: ?principal");
        assert_eq!(findings[0].column, 22);
    }

    /// A policy with a condition as deep as `deep` makes it.
    fn policy(condition: &str) -> String {
        format!("permit (principal, action, resource) when {{ {condition} }};")
    }

    /// Each way to make a tree deeper by one.
    const DEEPER: [&str; 10] = [
        "true && ",
        "true || ",
        "!",
        "(",
        "[",
        "if true then true else ",
        "1 + ",
        "1 - ",
        "1 * ",
        "!(",
    ];

    #[test]
    fn a_policy_that_is_too_deep_is_refused_before_it_is_parsed() {
        for deeper in DEEPER {
            let text = format!("{}\n{}", policy("true"), policy(&deeper.repeat(2_000)));
            let findings = parsed(&text).unwrap_err();
            assert!(findings[0].message.contains("at most 32 connectives"), "{findings:?}");
            assert_eq!(findings[0].line, 2);
        }
        for deeper in [".x", ".x(1)", "\n.\nx", "[\"x\"].x"] {
            assert!(parsed(&policy(&format!("resource{}", deeper.repeat(40)))).is_err());
        }
        // Brackets that stay open are open in what follows, too.
        assert!(parsed(&"(;".repeat(40)).unwrap_err()[0].message.contains("at most 32"));
        let clauses = "when { true }".repeat(40);
        assert!(parsed(&format!("permit (principal, action, resource) {clauses};")).is_err());
    }

    /// Returns a policy text that is too deep on the same line, or on the next one.
    fn too_deep() -> String {
        format!("{} resource.orcon", "!(".repeat(POLICY_DEPTH_MAX + 1))
    }

    #[track_caller]
    fn refused_as_too_deep(text: &str) {
        let message = &parsed(text).unwrap_err()[0].message;
        assert!(message.contains("at most 32 connectives"), "{text}: {message}");
    }

    #[test]
    fn a_text_in_quotes_hides_nothing_that_follows() {
        for quoted in ["/", "//", r"/\\", r#"a\""#, r#"\"//"#, r"\\", r"//\n", "é"] {
            refused_as_too_deep(&policy(&format!("\"{quoted}\" == {}", too_deep())));
        }
    }

    #[test]
    fn a_comment_hides_nothing_that_follows() {
        for comment in ["// \"\n", "//\"\r", "//\"\r\n", "///\"\n", "//\n", "// //\r", "/ "] {
            refused_as_too_deep(&policy(&format!("{comment}{}", too_deep())));
        }
        refused_as_too_deep(&format!("// it's \" here\r{}", policy(&too_deep())));
    }

    #[test]
    fn what_a_comment_or_a_text_in_quotes_says_is_not_measured() {
        let signs = "((!!&&[[{{..".repeat(POLICY_DEPTH_MAX);
        let quoted = format!("\"{signs}\" == \"\\\"{signs}\\\\\"");
        let text = format!("// {signs}\n/// {signs}\r{}", policy(&quoted));
        assert_eq!(parsed(&text).unwrap().len(), 1);
        let long = format!("// {}\n", "x".repeat(97)).repeat(POLICY_BYTES_MAX / 100 + 1);
        let found = parsed(&format!("{long}{}", policy("true"))).unwrap();
        assert_eq!(found[0].place.line as usize, POLICY_BYTES_MAX / 100 + 2);
    }

    #[test]
    fn a_policy_after_a_comment_that_a_carriage_return_ends_is_found_at_its_place() {
        let text = format!("{}// {}\r{}", policy("true"), policy("true"), policy("false"));
        let columns: Vec<_> = parsed(&text).unwrap().iter().map(|p| p.place.column).collect();
        assert_eq!(columns, [1, 2 * policy("true").len() as u32 + 5]);
    }

    #[test]
    fn a_policy_at_the_bound_is_taken() {
        let chain = vec!["resource.orcon"; POLICY_DEPTH_MAX - 2].join(" && ");
        assert!(parsed(&policy(&chain)).is_ok());
        let names = vec!["Liaison::Partner::\"a.b.c\""; 400].join(", ");
        assert!(parsed(&policy(&format!("[{names}].contains(principal)"))).is_ok());
    }

    #[test]
    fn a_policy_has_as_many_bytes_as_the_bound_and_no_more() {
        let sized = |bytes: usize| {
            let empty = policy("\"\" == \"\"").len();
            // The sign that ends a policy is not counted.
            parsed(&policy(&format!("\"{}\" == \"\"", "x".repeat(bytes + 1 - empty))))
        };
        assert!(sized(POLICY_BYTES_MAX).is_ok());
        for more in [1, 2, POLICY_BYTES_MAX] {
            let refused = &sized(POLICY_BYTES_MAX + more).unwrap_err()[0].message;
            assert!(refused.contains("at most 16384 bytes"), "{refused}");
        }
        // It is stepped over at once where a text in quotes is long.
        let long = policy(&format!("true || \"{}", "x".repeat(2 * POLICY_BYTES_MAX)));
        assert!(parsed(&long).unwrap_err()[0].message.contains("at most 16384 bytes"));
    }

    #[test]
    fn a_policy_of_too_many_bytes_is_refused() {
        for filler in ["xy", "\"x", "1,"] {
            let findings = parsed(&filler.repeat(POLICY_BYTES_MAX)).unwrap_err();
            assert!(findings[0].message.contains("at most"), "{findings:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z(){};:\"\\\\/@.?&|! \n=é]{0,200}") {
            let _ = parsed(&text);
        }
    }
}
