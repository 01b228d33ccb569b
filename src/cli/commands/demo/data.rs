//! Generated records in the shape of the public story: names, numbers and hosts are invented.

use super::agencies::{CASE, CBI, DCU, JC3, NPA, OPERATION};
use crate::pb::{self, draft::Content};
use bytes::Bytes;
use std::fmt::Write as _;

/// 2026-05-26T00:00:00Z: the day of the searches in the demonstration.
const RAID_MS: u64 = 1_779_753_600_000;
const DAY_MS: u64 = 24 * 3_600_000;

const PROVIDERS: [(&str, &str); 6] = [
    ("Example Registrar", "US"),
    ("Hosting One", "NL"),
    ("Cloud Example", "IE"),
    ("Registry Sample", "SG"),
    ("Web Host Example", "DE"),
    ("Domains Sample", "IN"),
];

fn marking(tlp: pb::Tlp) -> pb::Marking {
    pb::Marking { tlp: tlp.into(), pap: pb::Pap::Green.into(), ..pb::Marking::default() }
}

fn draft(tlp: pb::Tlp, key: impl Into<String>, content: Content) -> pb::Draft {
    pb::Draft {
        marking: Some(marking(tlp)),
        labels: vec!["tech-support-scam".to_owned()],
        operation: OPERATION.to_owned(),
        confidence: 80,
        key: key.into(),
        content: Some(content),
        ..pb::Draft::default()
    }
}

/// The host of the n-th invented indicator.
fn host(n: usize) -> String {
    format!("alert-{n:05}.support-{}.example", n % 97)
}

/// Indicators that the CERT reported.
pub(super) fn indicators(count: usize) -> Vec<pb::Draft> {
    (0..count).map(indicator).collect()
}

/// The n-th of them.
pub(in crate::cli::commands) fn indicator(n: usize) -> pb::Draft {
    draft(
        pb::Tlp::Green,
        "",
        Content::Indicator(pb::Indicator {
            r#type: pb::ValueType::Domain.into(),
            value: host(n),
            role: "popup".to_owned(),
            first_seen_ms: RAID_MS - (n as u64 % 300) * DAY_MS,
            title: "fake security alert with a telephone number".to_owned(),
            source: format!("victim report {:04}", n % 900),
            reporter: format!("member bank {:02}", n % 40),
            notes: "shows a full-screen alert and plays a siren".to_owned(),
            ..pb::Indicator::default()
        }),
    )
}

/// The case of the lead agency.
pub(super) fn case() -> pb::Draft {
    draft(
        pb::Tlp::Green,
        "",
        Content::Case(pb::Case {
            reference: CASE.to_owned(),
            title: "Technical-support fraud against citizens of Japan".to_owned(),
            status: pb::CaseStatus::Overt.into(),
            crime_types: vec!["tech-support-fraud".to_owned(), "money-laundering".to_owned()],
            jurisdictions: vec!["JP".to_owned(), "IN".to_owned()],
            lead: NPA.to_owned(),
            participants: vec![NPA.to_owned(), CBI.to_owned(), JC3.to_owned(), DCU.to_owned()],
            opened_at_ms: RAID_MS - 400 * DAY_MS,
            summary: "Pop-ups lead to call centres that pose as technical support".to_owned(),
            origin: "complaints of elderly citizens, analysed with JC3".to_owned(),
        }),
    )
}

/// Victims and facilitators as the lead agency knows them. Every third victim's data may go to
/// India, where the call centres stood; the others' stays in Japan.
pub(super) fn subjects(case: &Bytes) -> Vec<pb::Draft> {
    let victims = (1..=60u64).map(|n| {
        let mut victim = draft(
            pb::Tlp::Amber,
            format!("victim-{n}"),
            Content::Subject(pb::Subject {
                r#type: pb::SubjectType::Person.into(),
                role: pb::SubjectRole::Victim.into(),
                country: "JP".to_owned(),
                name: format!("Victim {n:04}"),
                contacts: vec![format!("+8150{:08}", 10_000_000 + n)],
                loss_minor_units: 180_000 + n * 1_700,
                loss_currency: "JPY".to_owned(),
                cases: vec![case.clone()],
                ..pb::Subject::default()
            }),
        );
        if let Some(marking) = &mut victim.marking {
            marking.personal_data = true;
            marking.jurisdictions = if n % 3 == 0 {
                vec!["IN".to_owned(), "JP".to_owned()]
            } else {
                vec!["JP".to_owned()]
            };
        }
        victim
    });
    let facilitators =
        ["search-engine optimiser", "lead generator", "payment processor", "talent provider"]
            .into_iter()
            .enumerate()
            .map(|(n, trade)| {
                draft(
                    pb::Tlp::Amber,
                    format!("facilitator-{n}"),
                    Content::Subject(pb::Subject {
                        r#type: pb::SubjectType::Organisation.into(),
                        role: pb::SubjectRole::Facilitator.into(),
                        country: "IN".to_owned(),
                        notes: format!("{trade} of the network"),
                        cases: vec![case.clone()],
                        ..pb::Subject::default()
                    }),
                )
            });
    victims.chain(facilitators).collect()
}

/// Searches, arrests and seizures of the police that acted.
pub(super) fn actions(case: &Bytes) -> Vec<pb::Draft> {
    let searches = (1..=19u32).map(|n| (pb::CaseActionType::Search, n, format!("site {n:02}")));
    let arrests = (1..=6u32).map(|n| (pb::CaseActionType::Arrest, n, format!("site {n:02}")));
    let closures = (1..=2u32).map(|n| (pb::CaseActionType::Closure, n, format!("call centre {n}")));
    searches
        .chain(arrests)
        .chain(closures)
        .map(|(what, n, place)| {
            draft(
                pb::Tlp::Green,
                format!("{}-{n}", what.as_str_name()),
                Content::CaseAction(pb::CaseAction {
                    r#type: what.into(),
                    at_ms: RAID_MS + u64::from(n) * 600_000,
                    country: "IN".to_owned(),
                    place,
                    count: 1,
                    agency: CBI.to_owned(),
                    authority: format!("search warrant {n:03}"),
                    notes: "statement of the acting officer is on file".to_owned(),
                    cases: vec![case.clone()],
                }),
            )
        })
        .collect()
}

/// Seized items with their custody chain.
pub(super) fn evidence(case: &Bytes) -> Vec<pb::Draft> {
    [("computer", 42), ("storage device", 61), ("video recorder", 7), ("phone", 88)]
        .into_iter()
        .enumerate()
        .map(|(n, (item, count))| {
            draft(
                pb::Tlp::Amber,
                format!("exhibit-{n}"),
                Content::Evidence(pb::Evidence {
                    item: item.to_owned(),
                    count,
                    seized_at_ms: RAID_MS + 7_200_000,
                    country: "IN".to_owned(),
                    exhibit: format!("CBI-EX-{n:03}"),
                    custody: vec![pb::CustodyStep {
                        at_ms: RAID_MS + 10_800_000,
                        holder: "evidence room".to_owned(),
                        purpose: "imaging".to_owned(),
                    }],
                    cases: vec![case.clone()],
                    ..pb::Evidence::default()
                }),
            )
        })
        .collect()
}

/// Requests of the lead agency to the vendor.
pub(super) fn requests(count: usize, case: &Bytes) -> Vec<pb::Draft> {
    (0..count)
        .map(|n| {
            draft(
                pb::Tlp::Green,
                "",
                Content::TakedownRequest(pb::TakedownRequest {
                    r#type: pb::ValueType::Domain.into(),
                    value: host(n),
                    action: pb::TakedownAction::SuspendDomain.into(),
                    provider: DCU.to_owned(),
                    due_at_ms: RAID_MS + 7 * DAY_MS,
                    basis: "takedown agreement 2026, article 4".to_owned(),
                    reporter: "duty officer".to_owned(),
                    cases: vec![case.clone()],
                    ..pb::TakedownRequest::default()
                }),
            )
        })
        .collect()
}

/// One result of the vendor, as its tool would submit it on its own.
pub(in crate::cli::commands) fn result(n: usize) -> pb::Draft {
    let (provider, country) = PROVIDERS[n % PROVIDERS.len()];
    draft(
        pb::Tlp::Green,
        "",
        Content::TakedownResult(pb::TakedownResult {
            r#type: pb::ValueType::Domain.into(),
            value: host(n),
            action: pb::TakedownAction::SuspendDomain.into(),
            status: pb::TakedownStatus::Down.into(),
            provider: provider.to_owned(),
            country: country.to_owned(),
            acted_at_ms: RAID_MS,
            case_reference: CASE.to_owned(),
            evidence: format!("vault/{n:06}"),
            ..pb::TakedownResult::default()
        }),
    )
}

/// The vendor's results of these numbers as the table that its tool would export.
pub(in crate::cli::commands) fn results_csv(numbers: std::ops::Range<usize>) -> String {
    let mut csv = String::with_capacity(numbers.len() * 140);
    csv.push_str("value,type,status,action,provider,country,acted_at,evidence,source\n");
    for n in numbers {
        let (provider, country) = PROVIDERS[n % PROVIDERS.len()];
        let status = match n % 20 {
            0 => "refused",
            1 => "actioned",
            _ => "down",
        };
        let day = n % 28 + 1;
        let second = n % 60;
        // Writing to a string cannot fail.
        let _ = writeln!(
            csv,
            "{},domain,{status},suspend-domain,{provider},{country},\
             2026-05-{day:02}T08:15:{second:02}Z,vault/{n:06},crawler batch {:03}",
            host(n),
            n / 500,
        );
    }
    csv
}
