//! The sharing rules of the four agencies, twice: as a Cedar bundle for the nodes, and in a plain
//! form for the checks. Bundles are compiled once for all seeds.

use super::NODES;
use crate::ident::{AgencyName, BundleHash};
use crate::journal::state::State;
use crate::node::policies::rules::Rules;
use crate::pb;
use crate::policy::{Bundle, Circle, Compiled, PartnerFacts, RecordFacts, Report, Vocabulary};
use crate::record::header::Header;
use crate::record::kind::{ClassSet, SlotClass};
use crate::record::marking::Tlp;
use crate::testkit::{Agency, Random};
use std::sync::Arc;

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
                share_min: [0, 0, 50, 101][random.index(4)],
                forwards: random.chance(2),
                classes: ClassSet::CORE,
                accept_min: [0, 60][random.index(2)],
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
    compiled: Compiled,
}

/// An agreement, as it is written down and as policy sees it.
struct Agreement {
    written: pb::PartnerFacts,
    facts: PartnerFacts,
}

/// Everything about the four agencies that no run changes.
pub(super) struct Book {
    agencies: Vec<AgencyName>,
    /// By node, and by what is agreed.
    agreements: Vec<[Agreement; FACTS]>,
    /// By node.
    editions: Vec<Vec<Edition>>,
}

impl Book {
    pub(super) fn new() -> Self {
        let agencies: Vec<_> =
            (0..NODES).map(|node| Agency::new(node as u8 + 1).name.clone()).collect();
        let agreement = |node: usize, agreed: usize| {
            let written = written_facts(node + agreed);
            let facts = PartnerFacts::agreed(agencies[node].clone(), &written, true).unwrap();
            Agreement { written, facts }
        };
        let agreements: Vec<_> =
            (0..NODES).map(|node| [agreement(node, 0), agreement(node, 1)]).collect();
        let mut random = Random(0);
        let mut edition = |own: usize, edition: usize| {
            let stances = [(); NODES].map(|()| Stance::of_edition(edition, &mut random));
            let others = (0..NODES).filter(|partner| *partner != own);
            // Two bundles that say the same are still two.
            let text = others.clone().map(|n| stances[n].cedar(&agencies[n])).collect::<String>();
            let files = [("10-agency.cedar".to_owned(), format!("// edition {edition}\n{text}"))];
            let bundle = Bundle::load(files, &Vocabulary::default())
                .unwrap_or_else(|found| panic!("{}", Report(&found)));
            let of_partner = |partner: usize| agreements[partner].iter().map(|of| of.facts.clone());
            let partners = others.flat_map(of_partner);
            let compiled = Compiled::new(Arc::new(bundle), agencies[own].clone(), partners);
            Edition { stances, compiled }
        };
        let editions =
            (0..NODES).map(|own| (0..EDITIONS).map(|n| edition(own, n)).collect()).collect();
        Self { agencies, agreements, editions }
    }

    pub(super) fn agency(&self, node: usize) -> &AgencyName {
        &self.agencies[node]
    }

    pub(super) fn node(&self, agency: &AgencyName) -> usize {
        self.agencies.iter().position(|other| other == agency).unwrap()
    }

    /// Returns what is written down of an agreement.
    pub(super) fn facts(&self, partner: usize, agreed: usize) -> &pb::PartnerFacts {
        &self.agreements[partner][agreed].written
    }

    /// Returns true if a partner is in the circle under this agreement.
    pub(super) fn is_member(&self, partner: usize, agreed: usize) -> bool {
        self.facts(partner, agreed).circles.iter().any(|circle| circle == CIRCLE)
    }

    pub(super) fn bundle_hash(&self, own: usize, edition: usize) -> BundleHash {
        self.editions[own][edition].compiled.bundle().hash()
    }

    /// Returns the policy of a node and its agreement with a partner, by its journal.
    pub(super) fn asked(&self, own: usize, partner: usize, state: &State) -> Asked {
        let edition = self.edition(own, state);
        let known = &state.partners[self.agency(partner)].facts;
        let facts = self.agreements[partner].iter().position(|of| of.written == *known).unwrap();
        Asked { own, edition, partner, facts }
    }

    pub(super) fn edition(&self, own: usize, state: &State) -> usize {
        let hash = &state.policy.as_ref().unwrap().bundle_hash;
        let is_in_force =
            |edition: &usize| self.bundle_hash(own, *edition).as_bytes()[..] == hash[..];
        (0..EDITIONS).find(is_in_force).unwrap()
    }

    /// Returns the rules that a node loads for the state of its journal.
    pub(super) fn rules(&self, own: usize, state: &State) -> Rules {
        let edition = self.edition(own, state);
        let compiled = &self.editions[own][edition].compiled;
        let hash = Some(self.bundle_hash(own, edition));
        Rules::compile(state, compiled, Vec::new(), hash).unwrap()
    }

    /// Returns the classes that the plain form allows; `lets`: the originator's consents for this
    /// partner.
    pub(super) fn plainly(&self, asked: Asked, header: &Header, lets: Lets) -> ClassSet {
        let stance = self.editions[asked.own][asked.edition].stances[asked.partner];
        let partner = &self.agreements[asked.partner][asked.facts].facts;
        let own = &self.agencies[asked.own];
        stance.shows(own, partner, &RecordFacts::from(header), lets)
    }

    pub(super) fn plainly_accepts(&self, asked: Asked, confidence: u8) -> bool {
        confidence >= self.editions[asked.own][asked.edition].stances[asked.partner].accept_min
    }
}

/// Every second number belongs to the circle.
fn written_facts(number: usize) -> pb::PartnerFacts {
    let circles = if number.is_multiple_of(2) { vec![CIRCLE.to_owned()] } else { Vec::new() };
    let until = "2030-01-01".parse::<crate::ident::Timestamp>().unwrap();
    pb::PartnerFacts {
        sector: pb::Sector::Police.into(),
        country: "JP".to_owned(),
        agreement_until_ms: until.unix_ms().unsigned_abs(),
        circles,
        ..pb::PartnerFacts::default()
    }
}

/// A marking of each kind that policy treats in its own way.
pub(super) fn any_marking(random: &mut Random) -> pb::Marking {
    let marking = |tlp: pb::Tlp| pb::Marking {
        tlp: tlp.into(),
        pap: pb::Pap::Green.into(),
        ..pb::Marking::default()
    };
    match random.index(12) {
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
