//! Three agencies in a row: the second passes on to the third what the first gave it.

use std::path::Path;

use bytes::Bytes;
use liaison::pb;
use liaison::pb::consent_service_client::ConsentServiceClient;
use liaison::policy::ClientRole;
use tonic::transport::Channel;

use crate::fixture::{RunningNode, introduce};

/// A policy that takes everything and shares nothing.
pub(crate) const ACCEPT: &str = r#"
@id("test/accept")
@title("We take everything")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource.confidence >= 0 };
"#;

/// Own records go to this sector alone, so that others get them from a third agency or not at all.
pub(crate) fn everything_to(sector: &str) -> String {
    format!(
        r#"
@id("test/share")
@title("Everything goes to one sector")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when {{ principal.sector == Liaison::Sector::"{sector}" && resource.confidence >= 0 }};
"#
    )
}

pub(crate) const ONWARD: &str = r#"
@id("test/forward")
@title("What others let us pass on goes on")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"forward", resource is Liaison::Record)
when { resource.confidence >= 0 };
"#;

/// Starts three agencies, each with its sector, that know each other.
pub(crate) async fn chain(parent: &Path, agencies: [(&str, &str); 3]) -> [RunningNode; 3] {
    let [first, second, third] = agencies;
    let share = everything_to(second.1);
    let start = async |(agency, sector): (&str, &str), more: &str| {
        RunningNode::fresh(parent, agency, sector, &format!("{ACCEPT}{more}")).await
    };
    let nodes = [start(first, &share).await, start(second, ONWARD).await, start(third, "").await];
    introduce(&nodes.each_ref()).await;
    nodes
}

pub(crate) async fn submit(node: &RunningNode, draft: pb::Draft) -> Bytes {
    node.submit(vec![draft]).await.remove(0).record_id
}

pub(crate) async fn consents(
    node: &RunningNode,
    role: ClientRole,
) -> ConsentServiceClient<Channel> {
    ConsentServiceClient::new(node.channel(role).await)
}
