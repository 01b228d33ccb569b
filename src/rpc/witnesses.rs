//! `WitnessService`: this node as a witness of other logs, and the witnesses of its own journal.

use super::{Context, client_of, refusal};
use crate::exchange::Witnessed;
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{PROOF_HASHES_MAX, ShownCheckpoint, WitnessRefusal};
use crate::node::ShownBy;
use crate::pb;
use crate::pb::witness_service_server::WitnessService;
use tonic::{Code, Request, Response, Status};

pub(super) struct Witnesses(pub(super) Context);

#[tonic::async_trait]
impl WitnessService for Witnesses {
    async fn add_checkpoint(
        &self,
        request: Request<pb::AddCheckpointRequest>,
    ) -> Result<Response<pb::AddCheckpointResponse>, Status> {
        let shown = shown(request.into_inner().checkpoint.unwrap_or_default())?;
        let witnessed = self.0.node.witnessing.add_checkpoint(shown, ShownBy::Anybody).await;
        match witnessed.map_err(|error| refusal::of_node(&error))? {
            Witnessed::Cosigned(note) => {
                Ok(Response::new(pb::AddCheckpointResponse { note: note.into() }))
            }
            Witnessed::Refused(refused) => Err(status_of(&refused)),
        }
    }

    async fn get_cosigned_checkpoint(
        &self,
        request: Request<pb::GetCosignedCheckpointRequest>,
    ) -> Result<Response<pb::GetCosignedCheckpointResponse>, Status> {
        let origin = request.into_inner().origin;
        let note = self.0.node.witnessing.cosigned_checkpoint(&origin).ok_or_else(|| {
            Status::not_found("no checkpoint of this log was cosigned here; give its full origin")
        })?;
        Ok(Response::new(pb::GetCosignedCheckpointResponse { note }))
    }

    async fn list_witnesses(
        &self,
        _: Request<pb::ListWitnessesRequest>,
    ) -> Result<Response<pb::ListWitnessesResponse>, Status> {
        let node = &self.0.node;
        let (witnesses, quorum) = (node.witnessing.views(), node.config().witness.quorum);
        let (journal, witness) =
            node.witnessing.verifiers().map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ListWitnessesResponse {
            witnesses,
            quorum,
            journal_vkey: journal.to_string(),
            witness_vkey: witness.to_string(),
        }))
    }

    async fn add_witness(
        &self,
        request: Request<pb::AddWitnessRequest>,
    ) -> Result<Response<pb::AddWitnessResponse>, Status> {
        let client = client_of(&request)?;
        let pb::AddWitnessRequest { vkey, url } = request.into_inner();
        let added = self.0.node.witnessing.add_witness(&client, &vkey, &url).await;
        added.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::AddWitnessResponse {}))
    }
}

fn shown(wire: pb::AddCheckpoint) -> Result<ShownCheckpoint, Status> {
    let pb::AddCheckpoint { old_size, proof, note } = wire;
    if proof.len() > PROOF_HASHES_MAX {
        let reason = format!("{} hashes, a proof has at most {PROOF_HASHES_MAX}", proof.len());
        return Err(refusal::invalid("proof", reason));
    }
    let proof = proof
        .iter()
        .map(|hash| TreeHash::try_from(&hash[..]))
        .collect::<Result<_, _>>()
        .map_err(|error| refusal::invalid("proof", error))?;
    Ok(ShownCheckpoint { old: TreeSize::new(old_size), proof, note: note.to_vec() })
}

/// The code for each condition, as in the HTTP form.
fn status_of(refused: &WitnessRefusal) -> Status {
    let code = match refused {
        WitnessRefusal::UnknownLog => Code::NotFound,
        WitnessRefusal::Frozen | WitnessRefusal::Signature(_) => Code::PermissionDenied,
        WitnessRefusal::Malformed(_) | WitnessRefusal::OldBeyondSize { .. } => {
            Code::InvalidArgument
        }
        WitnessRefusal::Conflict { .. }
        | WitnessRefusal::Proof { .. }
        | WitnessRefusal::SameSize { .. }
        | WitnessRefusal::EmptyRoot { .. } => Code::FailedPrecondition,
    };
    Status::new(code, refused.to_string())
}
