//! The node's use cases, as far as the services need their signatures to be built against.

use crate::ident::{AgencyName, BundleHash, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::ledger::{Clock, Committed, Ledger};
use crate::journal::view::View;
use crate::partner::VerifiedCard;
use crate::pb;
use crate::policy::Finding;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// Why a use case did not happen. The text may be shown to the caller.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl NodeError {
    pub const fn code(&self) -> tonic::Code {
        match self {
            Self::NotFound(_) => tonic::Code::NotFound,
            Self::Invalid(_) => tonic::Code::InvalidArgument,
            Self::Precondition(_) => tonic::Code::FailedPrecondition,
            Self::Refused(_) => tonic::Code::PermissionDenied,
            Self::Journal(JournalError::Stopped) => tonic::Code::Unavailable,
            Self::Journal(_) => tonic::Code::Internal,
        }
    }

    fn absent() -> Self {
        Self::Precondition("this build has no use cases".to_owned())
    }
}

/// What came of drafts, and the journal that holds them.
#[derive(Debug)]
pub struct Submitted {
    pub results: Vec<pb::DraftResult>,
    pub committed: Committed,
}

/// What a served stream sends.
pub type ExchangeStream =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::ExchangeResponse, tonic::Status>> + Send>>;

pub struct Node {
    agency: AgencyName,
    ledger: Ledger,
    clock: Clock,
}

impl Node {
    pub fn new(agency: AgencyName, ledger: Ledger, clock: Clock) -> Arc<Self> {
        Arc::new(Self { agency, ledger, clock })
    }

    pub const fn agency(&self) -> &AgencyName {
        &self.agency
    }

    pub fn view(&self) -> &Arc<View> {
        self.ledger.view()
    }

    pub fn grown(&self) -> watch::Receiver<u64> {
        self.ledger.grown()
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub async fn submit(&self, _: &str, _: Vec<pb::Draft>) -> Result<Submitted, NodeError> {
        Err(NodeError::absent())
    }

    pub fn sign_submission_receipt(&self, _: &pb::SubmissionReceipt) -> Result<Vec<u8>, NodeError> {
        Err(NodeError::absent())
    }

    pub async fn withdraw(
        &self,
        _: &str,
        _: RecordId,
        _: pb::WithdrawalReason,
        _: String,
    ) -> Result<(RecordId, Committed), NodeError> {
        Err(NodeError::absent())
    }

    pub fn own_card(&self) -> Result<Arc<VerifiedCard>, NodeError> {
        Err(NodeError::absent())
    }

    pub async fn add_partner(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: pb::PartnerFacts,
    ) -> Result<pb::PartnerView, NodeError> {
        Err(NodeError::absent())
    }

    pub async fn set_partner_state(
        &self,
        _: &str,
        _: &AgencyName,
        _: pb::PartnerState,
    ) -> Result<pb::PartnerView, NodeError> {
        Err(NodeError::absent())
    }

    pub async fn update_partner_facts(
        &self,
        _: &str,
        _: &AgencyName,
        _: pb::PartnerFacts,
    ) -> Result<pb::PartnerView, NodeError> {
        Err(NodeError::absent())
    }

    pub fn partner_views(&self) -> Vec<pb::PartnerView> {
        Vec::new()
    }

    pub fn policy_files(&self) -> (u64, Option<BundleHash>, Vec<pb::PolicyFile>) {
        (0, None, Vec::new())
    }

    pub fn check_policy(&self, _: &[pb::PolicyFile]) -> Result<BundleHash, Vec<Finding>> {
        Err(Vec::new())
    }

    pub async fn apply_policy(
        &self,
        _: &str,
        _: Vec<pb::PolicyFile>,
    ) -> Result<(u64, BundleHash), NodeError> {
        Err(NodeError::absent())
    }

    pub fn explain(
        &self,
        _: RecordId,
        _: &AgencyName,
        _: Option<Timestamp>,
    ) -> Result<pb::ExplainDecisionResponse, NodeError> {
        Err(NodeError::absent())
    }

    pub fn status(&self) -> pb::GetStatusResponse {
        pb::GetStatusResponse::default()
    }

    pub fn refused(&self, reason: &str) {
        tracing::info!(reason, "refused");
    }

    pub async fn exchange(
        self: &Arc<Self>,
        _: AgencyName,
        _: tonic::Streaming<pb::ExchangeRequest>,
    ) -> Result<ExchangeStream, NodeError> {
        Err(NodeError::absent())
    }
}
