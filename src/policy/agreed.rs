//! The effect of a changed agreement with a partner: whether it can show the partner more.
//!
//! Leaving a circle is not always less: a bundle may forbid to a circle what it permits to all. So a
//! change narrows only if it adds nothing and no policy can read what was lost as a reason to give.
//! On doubt it does not narrow, and reveals. Another sector or country always adds. It never asks what is in the store: records to come count
//! too.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Expr, PrincipalConstraint, UnaryOp, Var};

use super::alteration::excepts_personal_data;
use super::bundle::{Bundle, Statement};
use super::cedar::Action;
use super::decide::PartnerScope;
use super::facts::PartnerFacts;
use super::syntax::{clause_parts, visit};
use crate::record::kind::SlotClass;

/// The agreed facts that a partner has lost or that have changed.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    circles: bool,
    operations: bool,
    client: bool,
    time: bool,
    sector: bool,
    country: bool,
}

/// Returns true if `after` contains nothing that was not in `before`.
pub fn adds_nothing(before: &PartnerFacts, after: &PartnerFacts) -> bool {
    let PartnerFacts {
        agency,
        sector,
        country,
        client,
        suspended,
        agreement_until,
        circles,
        operations,
        tags,
    } = after;
    *agency == before.agency
        && *sector == before.sector
        && *country == before.country
        && *suspended == before.suspended
        && *tags == before.tags
        && *client <= before.client
        && *agreement_until <= before.agreement_until
        && is_within(circles, &before.circles)
        && is_within(operations, &before.operations)
}

/// Returns true if the partner sees at most what it saw before, now and of all records to come.
pub fn only_narrows(bundle: &Bundle, before: &PartnerFacts, after: &PartnerFacts) -> bool {
    let lost = Lost {
        circles: !is_within(&before.circles, &after.circles),
        operations: !is_within(&before.operations, &after.operations),
        client: before.client && !after.client,
        time: after.agreement_until < before.agreement_until,
        // Another sector or country is never less.
        sector: false,
        country: false,
    };
    adds_nothing(before, after)
        && !bundle.statements().iter().any(|statement| lost.may_help(statement))
}

/// Returns whether a partner that was shown nothing so far may be shown personal data or a sensitive
/// class. Conditions count only where they except personal data.
pub fn may_reveal_to_new(bundle: &Bundle, partner: &PartnerFacts) -> bool {
    let scope = PartnerScope::of(partner);
    let mut permits = bundle.statements().iter().filter(|s| s.permits && !s.is_guardrail());
    permits.any(|statement| {
        let reveals =
            SlotClass::SENSITIVE.into_iter().any(|c| scope.matches(statement, Action::Reveal(c)));
        let releases = RELEASE.into_iter().any(|action| scope.matches(statement, action));
        reveals || (releases && !excepts_personal_data(statement))
    })
}

/// Returns whether the change may show a partner personal data or a sensitive class of which it was
/// shown none. It does not where policies that the change leaves as they are gave it such before.
pub fn may_reveal(bundle: &Bundle, before: &PartnerFacts, after: &PartnerFacts) -> bool {
    if only_narrows(bundle, before, after) {
        return false;
    }
    let changed = Lost::otherwise(before, after);
    let [was, is] = [before, after].map(PartnerScope::of);
    let own = || bundle.statements().iter().filter(|statement| !statement.is_guardrail());
    let stands = |statement: &Statement, action| {
        was.matches(statement, action) && is.matches(statement, action) && !changed.reads(statement)
    };
    let permitted = |action| own().any(|s| s.permits && stands(s, action));
    if may_show_personal_data(bundle, (&was, &is), changed) {
        return true;
    }
    let was_given = permitted(Action::Share) || permitted(Action::Forward);
    SlotClass::SENSITIVE.map(Action::Reveal).into_iter().any(|reveal| {
        let may_be_shown = own().any(|s| s.permits && is.matches(s, reveal));
        let was_shown = was_given && permitted(reveal);
        let is_unbarred = own().any(|s| {
            !s.permits && was.matches(s, reveal) && (!is.matches(s, reveal) || changed.reads(s))
        });
        may_be_shown && (!was_shown || is_unbarred)
    })
}

const RELEASE: [Action; 2] = [Action::Share, Action::Forward];

/// Returns whether records with personal data may be shown that were not before: a permit that does not except
/// them comes to match while none stood before, or a forbid that touches them falls away.
fn may_show_personal_data(
    bundle: &Bundle,
    (was, is): (&PartnerScope, &PartnerScope),
    changed: Lost,
) -> bool {
    let touching = || {
        let own = bundle.statements().iter().filter(|s| !s.is_guardrail());
        own.filter(|s| !excepts_personal_data(s))
    };
    let matches = |scope: &PartnerScope, s: &Statement| {
        RELEASE.into_iter().any(|action| scope.matches(s, action))
    };
    let may_be_shown = touching().any(|s| s.permits && matches(is, s));
    // The jurisdictions of a record are held against the partner's country.
    let was_shown = !changed.country
        && touching().any(|s| s.permits && matches(was, s) && matches(is, s) && !changed.reads(s));
    let is_unbarred =
        touching().any(|s| !s.permits && matches(was, s) && (!matches(is, s) || changed.reads(s)));
    may_be_shown && (!was_shown || is_unbarred)
}

fn is_within(part: &[String], whole: &[String]) -> bool {
    let whole: BTreeSet<_> = whole.iter().collect();
    part.iter().all(|name| whole.contains(name))
}

impl Lost {
    /// All that differs.
    fn otherwise(before: &PartnerFacts, after: &PartnerFacts) -> Self {
        let is_same =
            |one: &[String], other: &[String]| is_within(one, other) && is_within(other, one);
        Self {
            circles: !is_same(&before.circles, &after.circles),
            operations: !is_same(&before.operations, &after.operations),
            client: before.client != after.client,
            time: before.agreement_until != after.agreement_until,
            sector: before.sector != after.sector,
            country: before.country != after.country,
        }
    }

    /// Returns true if conditions of a policy read any of the lost facts, or might.
    fn reads(self, statement: &Statement) -> bool {
        let clauses = statement.body.clauses();
        clauses.iter().any(|clause| self.is_read_in(clause_parts(clause).0))
    }

    /// A permit that comes to hold, or a forbid that holds no longer.
    fn may_help(self, statement: &Statement) -> bool {
        if statement.is_guardrail() {
            // Their only reading of the agreement's end forbids from then on.
            return Self { time: false, ..self }.may_turn(statement);
        }
        self.may_turn(statement)
    }

    fn may_turn(self, statement: &Statement) -> bool {
        let names_circle = matches!(
            statement.body.principal,
            PrincipalConstraint::In(_) | PrincipalConstraint::IsIn(..)
        );
        let helps_when_false = !statement.permits;
        (helps_when_false && self.circles && names_circle)
            || statement.body.clauses().iter().any(|clause| {
                let (expr, is_unless) = clause_parts(clause);
                self.may_change(expr, is_unless != helps_when_false)
            })
    }

    /// Returns true if the loss can make the expression true, or false if that is what is
    /// `negated`.
    fn may_change(self, expr: &Expr, negated: bool) -> bool {
        match expr {
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.may_change(expr, !negated),
            Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
                self.may_change(left, negated) || self.may_change(right, negated)
            }
            // More of it in the facts can only make it true.
            _ if is_plain(expr) && !negated => false,
            _ => self.is_read_in(expr),
        }
    }

    fn is_read_in(self, expr: &Expr) -> bool {
        let mut read = false;
        let known = visit(expr, &mut |part| {
            read |= match part {
                Expr::BinaryOp { op: BinaryOp::In, .. } | Expr::Is { in_expr: Some(_), .. } => {
                    self.circles
                }
                Expr::GetAttr { attr, .. } => match attr.as_str() {
                    "client" => self.client,
                    "operations" => self.operations,
                    "agreement_until" => self.time,
                    "sector" => self.sector,
                    "country" => self.country,
                    _ => false,
                },
                _ => false,
            };
        });
        read || !known
    }
}

/// `principal in x`, `principal.client`, or `principal.operations.contains(x)` and its like.
fn is_plain(expr: &Expr) -> bool {
    let is_principal = |expr: &Expr| matches!(expr, Expr::Var(Var::Principal));
    let attribute = |expr: &Expr, name: &str| matches!(expr, Expr::GetAttr { expr, attr } if is_principal(expr) && attr == name);
    match expr {
        Expr::BinaryOp { op: BinaryOp::In, left, right } => is_principal(left) && !is_read(right),
        Expr::BinaryOp {
            op: BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny,
            left,
            right,
        } => attribute(left, "operations") && !is_read(right),
        _ => attribute(expr, "client"),
    }
}

/// Returns true if an expression reads anything of the partner, or might.
fn is_read(expr: &Expr) -> bool {
    let mut read = false;
    !visit(expr, &mut |part| read |= matches!(part, Expr::Var(Var::Principal))) || read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::policy::{any_partner, any_record, hour, load, partner, sample, time};
    use proptest::prelude::*;

    fn rule(effect: &str, clauses: &str) -> String {
        let agreed = "@id(\"a\") @title(\"t\") @agreement(\"g\") @owner(\"o\")";
        let head = "principal is Liaison::Partner, action in [Liaison::Action::\"release\"]";
        format!("{agreed} {effect} ({head}, resource is Liaison::Record) {clauses};")
    }

    fn narrows(policy: &str, change: impl Fn(&mut PartnerFacts)) -> bool {
        let bundle = load(policy).unwrap_or_else(|found| panic!("{policy}: {found:?}"));
        let before = PartnerFacts { client: true, ..partner() };
        let mut after = before.clone();
        change(&mut after);
        only_narrows(&bundle, &before, &after)
    }

    const LOSSES: [fn(&mut PartnerFacts); 4] = [
        |facts| facts.circles.clear(),
        |facts| facts.operations.clear(),
        |facts| facts.client = false,
        |facts| facts.agreement_until = time("2026-12-01"),
    ];

    #[test]
    fn what_is_added_never_narrows() {
        let gains: [fn(&mut PartnerFacts); 6] = [
            |facts| facts.circles.push("another".into()),
            |facts| facts.operations.push("another".into()),
            |facts| facts.agreement_until = facts.agreement_until.plus_ms(3_600_000),
            |facts| facts.circles = vec!["another".into()],
            |facts| facts.country = "DE".parse().unwrap(),
            |facts| facts.suspended = !facts.suspended,
        ];
        for gain in gains {
            assert!(!narrows("", gain));
        }
        assert!(narrows("", |_| {}));
    }

    /// Returns true if the change may reveal a class under this share policy and these others.
    fn reveals(share: &str, others: &str, change: impl Fn(&mut PartnerFacts)) -> bool {
        reveals_by([("share", share), ("reveal:victim", others)], change)
    }

    /// The same where the first policy is for one action and the others for another.
    fn reveals_by(
        [(gives, clauses), (shows, others)]: [(&str, &str); 2],
        change: impl Fn(&mut PartnerFacts),
    ) -> bool {
        let agreed =
            |id: &str| format!("@id(\"{id}\") @title(\"t\") @agreement(\"g\") @owner(\"o\")");
        let policy = |id: &str, effect: &str, what: &str, action: &str, clauses: &str| {
            let action = format!("action == Liaison::Action::\"{action}\"");
            let clauses =
                if clauses.is_empty() { "when { resource.confidence >= 10 }" } else { clauses };
            format!(
                "{} {effect} ({what}, {action}, resource is Liaison::Record) {clauses};\n",
                agreed(id)
            )
        };
        let all = "principal is Liaison::Partner";
        let mut text = policy("first", "permit", all, gives, clauses);
        for (at, line) in others.lines().enumerate() {
            let [effect, what, clauses] = line.split('|').collect::<Vec<_>>()[..] else { panic!() };
            let what = if what.is_empty() { all } else { what };
            text += &policy(&format!("o{at}"), effect, what, shows, clauses);
        }
        let bundle = load(&text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        let before = partner();
        let mut after = before.clone();
        change(&mut after);
        may_reveal(&bundle, &before, &after)
    }

    #[test]
    fn joining_reveals_a_class_that_members_alone_are_shown() {
        let joins: fn(&mut PartnerFacts) = |facts| facts.circles.push("another".into());
        let works: fn(&mut PartnerFacts) = |facts| facts.operations.push("ledger".into());
        let of_circle = "permit|principal in Liaison::Circle::\"another\"|";
        assert!(reveals("", of_circle, joins));
        assert!(!reveals("", of_circle, works));
        let of_operation =
            "permit||when { principal.operations.contains(Liaison::Operation::\"ledger\") }";
        assert!(reveals("", of_operation, works));
        assert!(!reveals("", of_operation, joins));
        // Nobody is shown any class.
        assert!(!reveals("", "", joins));
    }

    #[test]
    fn what_is_shown_the_partner_already_is_not_revealed_by_joining() {
        let joins: fn(&mut PartnerFacts) = |facts| facts.circles.push("another".into());
        assert!(!reveals("", "permit||", joins));
        // Records may be the first that it is given at all.
        let to_members = "when { principal in Liaison::Circle::\"another\" }";
        assert!(reveals(to_members, "permit||", joins));
        // A forbid that stood before it is gone.
        let barred = "permit||\nforbid||unless { principal in Liaison::Circle::\"another\" }";
        assert!(reveals("", barred, joins));
        let leaves: fn(&mut PartnerFacts) = |facts| facts.circles.clear();
        let outsiders = "permit||unless { principal in Liaison::Circle::\"another\" }";
        assert!(!reveals("", outsiders, |_| {}));
        assert!(!reveals("", "permit||", leaves));
    }

    #[test]
    fn a_forbid_reveals_where_the_change_ends_it_and_nowhere_else() {
        let joins: fn(&mut PartnerFacts) = |facts| facts.circles.push("another".into());
        let moves: fn(&mut PartnerFacts) = |facts| facts.circles = vec!["another".into()];
        // It bars before and after.
        assert!(!reveals("", "permit||\nforbid||when { resource.orcon }", joins));
        // It never bars this partner, or does only from now on.
        let barred =
            |circle: &str| format!("permit||\nforbid|principal in Liaison::Circle::\"{circle}\"|");
        assert!(!reveals("", &barred("others"), moves));
        assert!(!reveals("", &barred("another"), moves));
        // Its head named the circle that the partner is in no longer.
        assert!(reveals("", &barred("fraud"), moves));
        assert!(!reveals("", &barred("fraud"), joins));
    }

    #[test]
    fn a_class_that_was_given_for_a_fact_is_revealed_where_that_fact_differs() {
        let joins: fn(&mut PartnerFacts) = |facts| facts.circles.push("another".into());
        let becomes_client: fn(&mut PartnerFacts) = |facts| facts.client = true;
        let is_prolonged: fn(&mut PartnerFacts) =
            |facts| facts.agreement_until = time("2031-01-01");
        let of_client = "permit||when { principal.client }";
        assert!(reveals("", of_client, becomes_client));
        assert!(!reveals("", of_client, joins) && !reveals("", of_client, is_prolonged));
        let of_time = "permit||when { principal.agreement_until > datetime(\"2030-06-01\") }";
        assert!(reveals("", of_time, is_prolonged));
        assert!(!reveals("", of_time, joins) && !reveals("", of_time, becomes_client));
    }

    #[test]
    fn what_is_lost_reveals_what_is_shown_for_lacking_it_alone() {
        let [leaves, finishes, ..] = LOSSES;
        let of = |effect: &str, fact: &str| format!("permit||{effect} {{ {fact} }}");
        let circle = "principal in Liaison::Circle::\"fraud\"";
        let operation = "principal.operations.contains(Liaison::Operation::\"chakra\")";
        assert!(reveals("", &of("unless", circle), leaves));
        assert!(reveals("", &of("unless", operation), finishes));
        assert!(!reveals("", &of("when", circle), leaves));
        assert!(!reveals("", &of("when", operation), finishes));
        // One circle for another: what was shown to the first may be of other records.
        let moves: fn(&mut PartnerFacts) = |facts| facts.circles = vec!["another".into()];
        let head = |circle: &str| format!("permit|principal in Liaison::Circle::\"{circle}\"|");
        assert!(reveals("", &format!("{}\n{}", head("fraud"), head("another")), moves));
    }

    #[test]
    fn every_sensitive_class_may_be_revealed_and_is_known_where_records_are_forwarded_alone() {
        let joins: fn(&mut PartnerFacts) = |facts| facts.circles.push("another".into());
        let of_circle = "permit|principal in Liaison::Circle::\"another\"|";
        for class in SlotClass::SENSITIVE {
            let shows = format!("reveal:{}", class.name());
            for gives in ["share", "forward"] {
                assert!(reveals_by([(gives, ""), (&shows, of_circle)], joins), "{gives} {shows}");
                assert!(!reveals_by([(gives, ""), (&shows, "permit||")], joins), "{gives} {shows}");
            }
        }
    }

    #[test]
    fn what_is_lost_narrows_where_policies_give_for_having_it() {
        let permit = rule(
            "permit",
            r#"when { principal in Liaison::Circle::"fraud" && (principal.client ||
               principal.operations.contains(Liaison::Operation::"chakra")) }
               unless { !principal.client && resource.orcon }"#,
        );
        // Under `unless { !client }` to lose it is to be refused.
        for (position, loss) in LOSSES.into_iter().enumerate() {
            assert!(narrows(&permit, loss), "loss {position}");
        }
        let forbid = rule("forbid", "when { resource.orcon } unless { principal.client }");
        assert!(narrows(&forbid, LOSSES[2]));
    }

    #[test]
    fn what_is_lost_does_not_narrow_where_a_policy_gives_for_lacking_it() {
        for (policy, loss) in [
            (rule("forbid", r#"when { principal in Liaison::Circle::"fraud" }"#), 0),
            (rule("permit", r#"when { !(principal in Liaison::Circle::"fraud") }"#), 0),
            (rule("permit", r#"unless { principal in Liaison::Circle::"fraud" }"#), 0),
            (rule("permit", "unless { principal.client }"), 2),
            (rule("permit", "when { !principal.client && resource.orcon }"), 2),
            (rule("permit", "when { resource.orcon && !principal.client }"), 2),
            (rule("permit", "when { resource.orcon || !principal.client }"), 2),
            (
                rule(
                    "permit",
                    r#"when { principal.operations.containsAny(if principal.client
                       then [Liaison::Operation::"chakra"] else [Liaison::Operation::"endgame"]) }"#,
                ),
                2,
            ),
            (rule("permit", "when { principal.client == resource.orcon }"), 2),
            (rule("permit", "when { if principal.client then resource.orcon else true }"), 2),
            (
                rule(
                    "forbid",
                    r#"when { principal.operations.contains(Liaison::Operation::"chakra") }"#,
                ),
                1,
            ),
            (
                rule(
                    "permit",
                    r#"when { [Liaison::Operation::"chakra"].containsAll(principal.operations) }"#,
                ),
                1,
            ),
            (rule("permit", r#"when { principal.agreement_until < datetime("2027-01-01") }"#), 3),
        ] {
            assert!(!narrows(&policy, LOSSES[loss]), "{policy}");
            // What it does not read may go.
            assert!(narrows(&policy, LOSSES[(loss + 1) % 3]), "{policy}");
        }
    }

    #[test]
    fn a_membership_of_what_depends_on_another_fact_may_come_with_losing_that_one() {
        let circle =
            r#"if principal.client then Liaison::Circle::"x" else Liaison::Circle::"fraud""#;
        let permit = rule("permit", &format!("when {{ principal in ({circle}) }}"));
        assert!(!narrows(&permit, LOSSES[2]));
        assert!(narrows(&permit, LOSSES[1]));
    }

    #[test]
    fn a_forbid_whose_head_names_a_circle_may_end_with_the_membership() {
        let forbid = rule("forbid", "when { resource.orcon }")
            .replace("principal is Liaison::Partner", "principal in Liaison::Circle::\"fraud\"");
        assert!(!narrows(&forbid, LOSSES[0]));
        assert!(narrows(&forbid.replace("forbid", "permit"), LOSSES[0]));
    }

    proptest! {
        #[test]
        fn after_a_change_that_narrows_nothing_is_newly_given(
            before in any_partner(),
            kept in any::<[bool; 4]>(),
            record in any_record(),
        ) {
            let mut after = before.clone();
            for (loss, _) in LOSSES.iter().zip(kept).filter(|(_, kept)| !kept) {
                loss(&mut after);
            }
            let compiled = sample([]);
            prop_assert!(only_narrows(compiled.bundle(), &before, &after));
            let was = compiled.decide(&before, &record, &hour(0));
            let is = compiled.decide(&after, &record, &hour(0));
            prop_assert!(was.release.allowed || !is.release.allowed);
            prop_assert_eq!(is.revealed.intersection(was.revealed), is.revealed);
        }
    }
}
