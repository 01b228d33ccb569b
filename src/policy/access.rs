//! The access policy of the node: evaluated once for every rpc and role.
//!
//! Unknown and forbidden look the same. The policy is compiled in; the table that it makes is kept
//! in git as tests/golden/rpc-roles.txt, so that a change shows as a line that a lawyer can read.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    Schema, ValidationMode, Validator,
};

use super::cedar::AUTHORIZER;
use super::finding::{Finding, Place};
use super::lint;
use super::source::{diagnosed, parse};
use crate::pb::CLIENT_RPCS;

const FILE: &str = "access.cedar (built in)";
const SCHEMA: &str = include_str!("access.cedarschema");
const POLICY: &str = include_str!("access.cedar");

/// The role of a client of the node's own agency, from its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientRole {
    Analyst,
    VendorTool,
    Auditor,
    PolicyOfficer,
    DataProtectionOfficer,
    Admin,
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a role; roles are analyst, vendor-tool, auditor, policy-officer, \
     data-protection-officer and admin"
)]
pub struct UnknownRole(String);

impl ClientRole {
    pub const ALL: [Self; 6] = [
        Self::Analyst,
        Self::VendorTool,
        Self::Auditor,
        Self::PolicyOfficer,
        Self::DataProtectionOfficer,
        Self::Admin,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::VendorTool => "vendor-tool",
            Self::Auditor => "auditor",
            Self::PolicyOfficer => "policy-officer",
            Self::DataProtectionOfficer => "data-protection-officer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for ClientRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let named = Self::ALL.into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

impl fmt::Display for ClientRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The answers to every rpc and role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    table: BTreeMap<&'static str, [bool; ClientRole::ALL.len()]>,
}

impl Access {
    /// Checks the access policy as strictly as a sharing policy and asks it everything once.
    pub fn compile() -> Result<Self, Vec<Finding>> {
        Self::of(POLICY)
    }

    fn of(policy: &str) -> Result<Self, Vec<Finding>> {
        let schema = schema().map_err(|reason| vec![Finding::of_file(FILE, reason)])?;
        let policies = load(policy, &schema)?;
        let ask = |rpc, role| {
            ask(&policies, &schema, rpc, role).map_err(|reason| {
                vec![Finding::of_file(FILE, format!("{rpc} for {}: {reason}", role.name()))]
            })
        };
        let mut table = BTreeMap::new();
        for rpc in CLIENT_RPCS {
            let mut row = [false; ClientRole::ALL.len()];
            for (cell, role) in row.iter_mut().zip(ClientRole::ALL) {
                *cell = ask(rpc, role)?;
            }
            table.insert(rpc, row);
        }
        Ok(Self { table })
    }

    /// Returns true if a client of this role may call this rpc, named `liaison.v1.Service/Method`.
    /// An unknown rpc is not allowed.
    pub fn allowed(&self, role: ClientRole, rpc: &str) -> bool {
        let position = ClientRole::ALL.into_iter().position(|known| known == role);
        match (self.table.get(rpc), position) {
            (Some(row), Some(position)) => row[position],
            _ => false,
        }
    }
}

impl fmt::Display for Access {
    /// The whole table, one line an rpc.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{:<46}", "rpc");
        for role in ClientRole::ALL {
            write!(line, "{:<25}", role.name())?;
        }
        writeln!(f, "{}", line.trim_end())?;
        for rpc in CLIENT_RPCS {
            let mut line = format!("{rpc:<46}");
            for role in ClientRole::ALL {
                write!(line, "{:<25}", if self.allowed(role, rpc) { "yes" } else { "-" })?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn schema() -> Result<Schema, String> {
    let mut text = SCHEMA.to_owned();
    for rpc in CLIENT_RPCS {
        writeln!(text, "  action {rpc:?} appliesTo {{ principal: [Client], resource: [Node] }};")
            .map_err(|error| error.to_string())?;
    }
    text.push('}');
    text.parse::<Schema>().map_err(|error| error.to_string())
}

fn load(text: &str, schema: &Schema) -> Result<PolicySet, Vec<Finding>> {
    let file: Arc<str> = FILE.into();
    let mut found = Vec::new();
    let mut set = PolicySet::new();
    for parsed in parse(&file, text)? {
        let Some(id) = lint::identity(&parsed, &mut found) else { continue };
        let policy = parsed.policy.new_id(cedar_policy::PolicyId::new(&id));
        if let Err(error) = set.add(policy) {
            found.push(Finding::at(&parsed.place, error.to_string()));
        }
    }
    let result =
        Validator::new(schema.clone()).validate_with_level(&set, ValidationMode::Strict, 1);
    let top = Place::of(&file, text, 0);
    found.extend(result.validation_errors().map(|error| diagnosed(error, &file, text, &top)));
    found.extend(result.validation_warnings().map(|warning| diagnosed(warning, &file, text, &top)));
    if found.is_empty() { Ok(set) } else { Err(found) }
}

fn ask(policies: &PolicySet, schema: &Schema, rpc: &str, role: ClientRole) -> Result<bool, String> {
    let client = uid("Client", "client")?;
    let node = uid("Node", "node")?;
    let entities = [
        Entity::new_no_attrs(client.clone(), [uid("Role", role.name())?].into()),
        Entity::with_uid(node.clone()),
    ];
    let store = Entities::from_entities(entities, Some(schema)).map_err(|e| e.to_string())?;
    let request = Request::new(client, uid("Action", rpc)?, node, Context::empty(), Some(schema))
        .map_err(|e| e.to_string())?;
    let response = AUTHORIZER.is_authorized(&request, policies, &store);
    match response.diagnostics().errors().next() {
        Some(error) => Err(error.to_string()),
        None => Ok(response.decision() == Decision::Allow),
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = format!("Liaison::{kind}")
        .parse()
        .map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rpc-roles.txt");

    #[test]
    fn the_table_of_rpcs_and_roles_is_the_one_in_git() {
        let table = Access::compile().unwrap_or_else(|f| panic!("{f:?}")).to_string();
        if std::env::var_os("LIAISON_BLESS").is_some() {
            std::fs::create_dir_all(Path::new(GOLDEN).parent().unwrap()).unwrap();
            std::fs::write(GOLDEN, &table).unwrap();
        }
        let golden = std::fs::read_to_string(GOLDEN).unwrap();
        assert_eq!(table, golden, "if this is meant: LIAISON_BLESS=1 cargo test");
    }

    #[test]
    fn a_role_survives_its_name() {
        for role in ClientRole::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(role.to_string(), role.name());
        }
    }

    #[test]
    fn what_is_unknown_is_denied() {
        let access = Access::compile().unwrap();
        let admin = ClientRole::Admin;
        assert!(access.allowed(admin, "liaison.v1.NodeService/GetStatus"));
        for rpc in ["liaison.v1.NodeService/Nothing", "/liaison.v1.NodeService/GetStatus", ""] {
            assert!(!access.allowed(admin, rpc), "{rpc}");
        }
        assert!("Admin".parse::<ClientRole>().is_err() && "".parse::<ClientRole>().is_err());
    }

    #[test]
    fn an_auditor_writes_nothing_and_an_admin_reads_no_record() {
        let access = Access::compile().unwrap();
        for rpc in CLIENT_RPCS {
            let method = rpc.rsplit('/').next().unwrap();
            let reads = ["Get", "List", "Find", "Query", "Watch", "Explain", "Export"];
            if !reads.iter().any(|verb| method.starts_with(verb)) {
                assert!(!access.allowed(ClientRole::Auditor, rpc), "{rpc}");
            }
            if rpc.contains("RecordService") || rpc.contains("CaseService") {
                assert!(!access.allowed(ClientRole::Admin, rpc), "{rpc}");
            }
        }
    }

    #[test]
    fn a_policy_on_an_rpc_that_is_not_there_does_not_compile() {
        let text = r#"@id("x") permit (principal in Liaison::Role::"admin",
            action == Liaison::Action::"liaison.v1.NodeService/Stop", resource is Liaison::Node);"#;
        assert!(Access::of(text).unwrap_err()[0].message.contains("NodeService/Stop"));
    }

    #[test]
    fn a_role_that_is_misspelt_does_not_compile() {
        let text = r#"@id("x") permit (principal in Liaison::Role::"admim", action,
            resource is Liaison::Node);"#;
        assert!(Access::of(text).is_err());
    }

    #[test]
    fn an_empty_policy_allows_nothing() {
        let access = Access::of("").unwrap();
        assert!(access.table.values().flatten().all(|allowed| !allowed));
    }
}
