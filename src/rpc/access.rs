//! The doors of the two ports: every request is checked before any service sees it.
//!
//! The certificate was checked when the connection began; the role is looked up at every request.
//! To a partner, unknown and forbidden look the same.

use super::metered::{Answering, Metered};
use super::reads::as_caller;
use super::refusal::forbidden;
use super::{CALL_TIMEOUT, LONG_CALL_TIMEOUT};
use crate::node::Node;
use crate::pb::PARTNER_RPCS;
use crate::policy::{Access, ClientRole};
use crate::tls::{Caller, CallerInfo, Place, RequestPlace};
use http::{Request, Response};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

/// The rpcs that a client with any role may call beside those of the access policy: health and
/// reflection.
const FOR_EVERY_CLIENT: [&str; 3] = [
    "grpc.health.v1.Health/",
    "grpc.reflection.v1.ServerReflection/",
    "grpc.reflection.v1alpha.ServerReflection/",
];

/// Calls that count every record before they act.
const LONG_CALLS: [&str; 2] =
    ["liaison.v1.PolicyService/ApplyPolicy", "liaison.v1.ActService/DecideAct"];

/// Returns the longest time for a call until its answer, or the beginning of its stream.
fn time_for(method: &str) -> Duration {
    if LONG_CALLS.contains(&method) { LONG_CALL_TIMEOUT } else { CALL_TIMEOUT }
}

/// The callers that a port serves.
#[derive(Clone)]
pub(super) enum Door {
    Clients(Arc<Access>),
    Partners,
}

impl Door {
    /// Checks that a caller may call a method, named `liaison.v1.Service/Method`.
    pub(super) fn check(&self, caller: Option<&Caller>, method: &str) -> Result<(), Status> {
        match (self, caller) {
            (Self::Clients(access), Some(Caller::Client { role, .. })) => {
                check_client(access, *role, method)
            }
            (Self::Partners, Some(Caller::Partner(_))) if PARTNER_RPCS.contains(&method) => Ok(()),
            _ => Err(forbidden()),
        }
    }
}

fn check_client(access: &Access, role: ClientRole, method: &str) -> Result<(), Status> {
    let for_all = FOR_EVERY_CLIENT.iter().any(|service| method.starts_with(service));
    if for_all || access.allowed(role, method) {
        return Ok(());
    }
    let able: Vec<&str> = ClientRole::ALL
        .into_iter()
        .filter(|other| access.allowed(*other, method))
        .map(ClientRole::name)
        .collect();
    let next = match &able[..] {
        [] => "no role may; this node has no such method".to_owned(),
        [one] => format!("ask for a client certificate with role {one}"),
        [first @ .., last] => {
            format!("ask for a client certificate with role {} or {last}", first.join(", "))
        }
    };
    Err(Status::permission_denied(format!("role {role} may not call {method}; {next}")))
}

/// Puts a [`Door`] before services.
#[derive(Clone)]
pub(super) struct RollbackGuard {
    pub(super) door: Door,
    pub(super) node: Arc<Node>,
}

impl<S> Layer<S> for RollbackGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }
}

/// Services behind a [`Door`].
#[derive(Clone)]
pub(super) struct Guarded<S> {
    inner: S,
    guard: RollbackGuard,
}

impl<S> Guarded<S> {
    /// Counts a request for its caller, unless that has as many under way as it may have.
    fn begin(&self, info: Option<&CallerInfo>) -> Result<(Place, RequestPlace), Status> {
        let place = info.map(|info| info.place.clone()).ok_or_else(forbidden)?;
        if let Some(begun) = place.begin_request() {
            return Ok((place, begun));
        }
        self.guard.node.refused("requests of one caller");
        Err(Status::resource_exhausted(format!(
            "{} requests of this caller are under way, as many as one may have; wait until some end",
            place.requests_max()
        )))
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let info = request.extensions().get::<CallerInfo>();
        let method = request.uri().path().trim_start_matches('/');
        let checked = self.guard.door.check(info.map(|info| &info.caller), method);
        match checked.and_then(|()| self.begin(info)) {
            Ok((place, begun)) => {
                let time = time_for(method);
                let caller = place.clone();
                let request = request.map(|body| Metered::of(body, place));
                let called = as_caller(caller, self.inner.call(request));
                let answer = tokio::time::timeout(time, called);
                Box::pin(async move {
                    let late = || Status::deadline_exceeded("the call took too long; try again");
                    let answer = answer.await.unwrap_or_else(|_| Ok(late().into_http()));
                    answer.map(|answer| answer.map(|body| Answering::of(body, begun)))
                })
            }
            Err(status) => {
                if status.code() == Code::PermissionDenied {
                    self.guard.node.refused("access");
                }
                tracing::info!(caller = ?info, method, "refused a call");
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::CLIENT_RPCS;

    fn clients() -> Door {
        Door::Clients(Arc::new(Access::compile().unwrap()))
    }

    fn client(role: ClientRole) -> Caller {
        let serial = crate::tls::CertificateSerial::from_bytes(&[1]).unwrap();
        Caller::Client { name: "tanaka".parse().unwrap(), role, serial }
    }

    fn partner() -> Caller {
        Caller::Partner("jc3.or.jp".parse().unwrap())
    }

    #[test]
    fn a_refusal_names_the_role_and_who_may_call() {
        let refused = clients()
            .check(Some(&client(ClientRole::VendorTool)), "liaison.v1.RecordService/WithdrawRecord")
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(
            refused.message(),
            "role vendor-tool may not call liaison.v1.RecordService/WithdrawRecord; ask for a \
             client certificate with role analyst"
        );
    }

    #[test]
    fn the_door_agrees_with_the_access_policy_on_every_rpc_and_role() {
        let access = Arc::new(Access::compile().unwrap());
        let door = Door::Clients(Arc::clone(&access));
        for role in ClientRole::ALL {
            for rpc in CLIENT_RPCS {
                let let_in = door.check(Some(&client(role)), rpc).is_ok();
                assert_eq!(let_in, access.allowed(role, rpc), "{role} {rpc}");
            }
        }
    }

    #[test]
    fn only_calls_that_count_every_record_may_take_minutes() {
        assert!(LONG_CALLS.iter().all(|rpc| CLIENT_RPCS.contains(rpc)));
        let long: Vec<_> =
            CLIENT_RPCS.into_iter().filter(|rpc| time_for(rpc) > CALL_TIMEOUT).collect();
        assert_eq!(long.len(), LONG_CALLS.len());
    }

    #[test]
    fn partners_never_reach_the_client_port_nor_clients_the_partner_port() {
        let clients = clients();
        for rpc in
            CLIENT_RPCS.into_iter().chain(PARTNER_RPCS).chain(["grpc.health.v1.Health/Check"])
        {
            assert!(clients.check(Some(&partner()), rpc).is_err(), "{rpc}");
            assert!(clients.check(None, rpc).is_err(), "{rpc}");
            assert!(Door::Partners.check(None, rpc).is_err(), "{rpc}");
            for role in ClientRole::ALL {
                assert!(Door::Partners.check(Some(&client(role)), rpc).is_err(), "{rpc}");
            }
        }
        for rpc in PARTNER_RPCS {
            assert!(Door::Partners.check(Some(&partner()), rpc).is_ok(), "{rpc}");
        }
    }

    #[test]
    fn unknown_and_forbidden_look_the_same_to_a_partner() {
        let answer = |method| {
            let status = Door::Partners.check(Some(&partner()), method).unwrap_err();
            (status.code(), status.message().to_owned())
        };
        assert_eq!(answer("liaison.v1.RecordService/GetRecord"), answer("no.such.Service/Method"));
    }

    #[test]
    fn every_role_may_ask_for_health_and_reflection() {
        let clients = clients();
        for role in ClientRole::ALL {
            let caller = client(role);
            for method in [
                "grpc.health.v1.Health/Check",
                "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            ] {
                assert!(clients.check(Some(&caller), method).is_ok(), "{role} {method}");
            }
            assert!(clients.check(Some(&caller), "grpc.health.v1.Healthy/Check").is_err());
        }
    }
}
