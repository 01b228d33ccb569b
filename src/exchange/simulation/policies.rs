//! The sharing rules of the four agencies, twice: as a Cedar bundle for the nodes, and in a plain
//! form for the checks. Bundles are compiled and decisions remembered once for all seeds.

use std::collections::HashMap;
use std::sync::Arc;

use super::{NODES, Random};
use crate::exchange::Acceptance;
use crate::exchange::fixture::{Agency, start_of_day};
use crate::ident::AgencyName;
use crate::pb;
use crate::policy::{
    Bundle, Circle, Compiled, Decision, MemoDecider, PartnerFacts, PolicyHour, RecordFacts, Report,
    Sector, Vocabulary,
};
use crate::record::header::Header;
use crate::record::kind::{ClassSet, SlotClass};
use crate::record::marking::Tlp;

/// Policies that a node may put in force; the last shares all it may, the one before nothing.
pub(super) const EDITIONS: usize = 4;

/// The number of agreements with a partner; the second one has it in or out of the circle.
pub(super) const FACTS: usize = 2;

pub(super) const CIRCLE: &str = "fraud";

/// The word of the originator of a record about one partner, in plain words.
#[derive(Clone, Copy)]
pub(super) struct Lets {
    /// It named the partner, in the record or by consent.
    pub(super) by_name: bool,
    /// The partner is on its roster of a circle that the record is marked for.
    pub(super) in_circle: bool,
}

/// The rules of one node for one partner.
#[derive(Clone, Copy)]
struct Stance {
    /// 101: nothing.
    share_min: u8,
    forwards: bool,
    classes: ClassSet,
    accept_min: u8,
}

impl Stance {
    const OPEN: Self =
        Self { share_min: 0, forwards: true, classes: ClassSet::CORE, accept_min: 0 };
    const SHUT: Self =
        Self { share_min: 101, forwards: false, classes: ClassSet::CORE, accept_min: 0 };

    fn of_edition(edition: usize, random: &mut Random) -> Self {
        let mut stance = match EDITIONS - edition {
            1 => Self::OPEN,
            2 => Self::SHUT,
            _ => Self {
                share_min: [0, 0, 50, 101][random.below(4)],
                forwards: random.chance(2),
                classes: ClassSet::CORE,
                accept_min: [0, 60][random.below(2)],
            },
        };
        for class in SlotClass::SENSITIVE {
            if EDITIONS - edition == 1 || random.chance(3) {
                stance.classes = stance.classes.with(class);
            }
        }
        stance
    }

    /// The policies of a bundle that say the same.
    fn cedar(&self, partner: &AgencyName) -> String {
        let policy = |what: &str, action: &str, min: u8| {
            format!(
                r#"
@id("agency/{what}/{partner}")
@title("what {partner} may have: {what}")
@agreement("of the test")
@owner("policy@agency.example")
permit (
  principal == Liaison::Partner::"{partner}",
  action == Liaison::Action::"{action}",
  resource is Liaison::Record
)
when {{ resource.confidence >= {min} }};
"#
            )
        };
        let mut text = policy("share", "share", self.share_min);
        if self.forwards {
            text += &policy("forward", "forward", self.share_min);
        }
        text += &policy("accept", "accept", self.accept_min);
        for class in SlotClass::SENSITIVE.into_iter().filter(|c| self.classes.contains(*c)) {
            text += &policy(class.name(), &format!("reveal:{}", class.name()), 0);
        }
        text
    }

    /// The classes that go to a partner; none, not even `Core`, when the record does not.
    /// `lets`: as the originator lets us pass it on to this partner.
    fn shows(
        &self,
        own: &AgencyName,
        partner: &PartnerFacts,
        record: &RecordFacts,
        lets: Lets,
    ) -> ClassSet {
        let is_own = record.originator == *own;
        let is_listed = |list: &Vec<AgencyName>| list.contains(&partner.agency);
        // A consent lifts a restriction and adds none.
        let is_restricted =
            record.orcon || record.releasable_to.is_some() || record.circles.is_some();
        let by_name =
            (lets.by_name && is_restricted) || record.releasable_to.as_ref().is_some_and(is_listed);
        // Of an own record our roster decides, of another's the one that its originator gave us.
        let ours = |circle: &Circle| partner.circles.contains(&circle.name);
        let in_circle = match is_own {
            true => record.circles.iter().flatten().any(ours),
            false => lets.in_circle,
        };
        let is_named = match (&record.releasable_to, &record.circles) {
            (None, None) => true,
            _ => by_name || in_circle,
        };
        let is_let = is_own || !record.orcon || by_name;
        let may_leave = match record.tlp {
            _ if record.no_attribution && !is_own => false,
            Tlp::Clear => is_named,
            Tlp::Green | Tlp::Amber if is_own => is_named,
            Tlp::Green => by_name || in_circle,
            _ => false,
        };
        let wanted = record.confidence >= self.share_min && (is_own || self.forwards);
        if may_leave && is_let && wanted { self.classes } else { ClassSet::EMPTY }
    }
}

/// The deciding node with its policy edition, and the partner with its agreement.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) own: usize,
    pub(super) edition: usize,
    pub(super) partner: usize,
    pub(super) facts: usize,
}

struct Edition {
    /// By partner.
    stances: [Stance; NODES],
    compiled: Arc<Compiled>,
    decider: MemoDecider,
    accepts: HashMap<(usize, usize, RecordFacts), bool>,
}

/// Everything about the four agencies that no run changes.
pub(super) struct Book {
    agencies: Vec<AgencyName>,
    /// By node, and by what is agreed.
    facts: Vec<[PartnerFacts; FACTS]>,
    /// By node.
    editions: Vec<Vec<Edition>>,
    policy_hour: PolicyHour,
}

impl Book {
    pub(super) fn new() -> Self {
        let agencies = super::agencies();
        let facts: Vec<_> = agencies
            .iter()
            .enumerate()
            .map(|(n, agency)| [0, 1].map(|agreed| partner_facts(n + agreed, agency)))
            .collect();
        let mut random = Random(0);
        let mut edition = |own: usize, edition: usize| {
            let stances = [(); NODES].map(|()| Stance::of_edition(edition, &mut random));
            let others = (0..NODES).filter(|partner| *partner != own);
            let text = others.clone().map(|n| stances[n].cedar(&agencies[n].name)).collect();
            let files = [("10-agency.cedar".to_owned(), text)];
            let bundle = Bundle::load(files, &Vocabulary::default())
                .unwrap_or_else(|found| panic!("{}", Report(&found)));
            let partners = others.flat_map(|partner| facts[partner].clone());
            let compiled =
                Arc::new(Compiled::new(Arc::new(bundle), agencies[own].name.clone(), partners));
            let decider = MemoDecider::new(Arc::clone(&compiled));
            Edition { stances, compiled, decider, accepts: HashMap::new() }
        };
        let editions =
            (0..NODES).map(|own| (0..EDITIONS).map(|n| edition(own, n)).collect()).collect();
        let agencies = agencies.into_iter().map(|agency| agency.name).collect();
        Self { agencies, facts, editions, policy_hour: PolicyHour::at(start_of_day()) }
    }

    /// Returns true if a partner is in the circle under this agreement.
    pub(super) fn is_member(&self, partner: usize, facts: usize) -> bool {
        self.facts[partner][facts].circles.iter().any(|circle| circle == CIRCLE)
    }

    pub(super) fn agency(&self, node: usize) -> &AgencyName {
        &self.agencies[node]
    }

    /// Returns the decision of the policy module.
    pub(super) fn decide(&mut self, asked: Asked, record: &RecordFacts) -> Arc<Decision> {
        let Self { editions, facts, policy_hour, .. } = self;
        let decider = &mut editions[asked.own][asked.edition].decider;
        decider.decide(&facts[asked.partner][asked.facts], record, policy_hour)
    }

    fn accepts(&mut self, asked: Asked, header: &Header) -> bool {
        let Self { editions, facts, policy_hour, .. } = self;
        let Edition { compiled, accepts, .. } = &mut editions[asked.own][asked.edition];
        *accepts.entry((asked.partner, asked.facts, RecordFacts::from(header))).or_insert_with_key(
            |(n, agreed, record)| {
                compiled.accepts(&facts[*n][*agreed], record, policy_hour).allowed
            },
        )
    }

    /// Returns the classes that the plain form allows; `lets`: the originator's consents for this
    /// partner.
    pub(super) fn plainly(&self, asked: Asked, header: &Header, lets: Lets) -> ClassSet {
        let stance = self.editions[asked.own][asked.edition].stances[asked.partner];
        let partner = &self.facts[asked.partner][asked.facts];
        let own = &self.agencies[asked.own];
        stance.shows(own, partner, &RecordFacts::from(header), lets)
    }

    pub(super) fn plainly_accepts(&self, asked: Asked, confidence: u8) -> bool {
        confidence >= self.editions[asked.own][asked.edition].stances[asked.partner].accept_min
    }
}

/// A node's policy on what a partner sends.
pub(super) struct Accepting<'a> {
    pub(super) book: &'a mut Book,
    pub(super) asked: Asked,
}

impl Acceptance for Accepting<'_> {
    fn accepts(&mut self, header: &Header) -> bool {
        self.book.accepts(self.asked, header)
    }
}

/// Every second number belongs to the circle.
fn partner_facts(number: usize, agency: &Agency) -> PartnerFacts {
    PartnerFacts {
        agency: agency.name.clone(),
        sector: Sector::Police,
        country: "JP".parse().unwrap(),
        client: false,
        suspended: false,
        agreement_until: "2030-01-01".parse().unwrap(),
        circles: number.is_multiple_of(2).then(|| CIRCLE.to_owned()).into_iter().collect(),
        operations: Vec::new(),
        tags: Default::default(),
    }
}

/// A marking of each sort that policy treats in its own way.
pub(super) fn any_marking(random: &mut Random) -> pb::Marking {
    let marking = |tlp: pb::Tlp| pb::Marking {
        tlp: tlp.into(),
        pap: pb::Pap::Green.into(),
        ..pb::Marking::default()
    };
    match random.below(12) {
        0 => marking(pb::Tlp::Red),
        1 | 2 | 11 => pb::Marking {
            circles: Some(pb::CircleList { circles: vec![CIRCLE.to_owned()] }),
            ..marking(pb::Tlp::Green)
        },
        3 | 4 => {
            let agencies = ["agency2.example", "agency3.example"].map(str::to_owned).to_vec();
            let releasable_to = Some(pb::AgencyList { agencies });
            pb::Marking { releasable_to, ..marking(pb::Tlp::Green) }
        }
        5 => marking(pb::Tlp::Green),
        10 => pb::Marking { no_attribution: true, ..marking(pb::Tlp::Clear) },
        6 | 7 => pb::Marking { orcon: true, ..marking(pb::Tlp::Clear) },
        _ => marking(pb::Tlp::Clear),
    }
}
