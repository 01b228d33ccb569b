//! A witness over HTTP (C2SP tlog-witness): `POST /add-checkpoint`, and for monitors
//! `GET /<hex sha256 of the origin>/checkpoint`.

use crate::exchange::Witnessed;
use crate::merkle::{AddCheckpoint, Note, NoteSignature, ShownCheckpoint, WitnessRefusal};
use crate::node::{Node, NodeError, ShownBy};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body;
use sha2::{Digest as _, Sha256};

/// Bytes of a request, as the other witnesses have it: a note of 64 KiB with its proof fits.
pub(super) const REQUEST_BYTES_MAX: usize = 128 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
/// The body is the size that the witness knows.
const SIZE: &str = "text/x.tlog.size";

pub(super) async fn answer<B>(node: &Node, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
{
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/add-checkpoint") => {
            match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
                Ok(body) => add_checkpoint(node, &body.to_bytes()).await,
                Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "a request has at most 128 KiB\n"),
            }
        }
        (&Method::GET, path) => match named_log(node, path) {
            Some(note) => respond(StatusCode::OK, TEXT, note),
            None => text(StatusCode::NOT_FOUND, "no such checkpoint\n"),
        },
        (_, "/add-checkpoint") => text(StatusCode::METHOD_NOT_ALLOWED, "wanted POST\n"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

async fn add_checkpoint(node: &Node, body: &[u8]) -> Response<Full<Bytes>> {
    let request = match AddCheckpoint::parse(body) {
        Ok(request) => request,
        Err(error) => return text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
    };
    let shown = ShownCheckpoint {
        old: request.old(),
        proof: request.proof().to_vec(),
        note: request.note().to_bytes(),
    };
    match node.witnessing.add_checkpoint(shown, ShownBy::Anybody).await {
        Ok(Witnessed::Cosigned(note)) => cosigned(&note),
        Ok(Witnessed::Refused(refused)) => refusal(&refused),
        Err(error) => unavailable(&error),
    }
}

/// The cosignature lines of a note of our own: all but the log's, which comes first.
fn cosigned(note: &[u8]) -> Response<Full<Bytes>> {
    let Ok(note) = Note::parse(note) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the cosignature cannot be read\n");
    };
    let lines = note.signatures().iter().skip(1).map(|line: &NoteSignature| format!("{line}\n"));
    text(StatusCode::OK, &lines.collect::<String>())
}

fn refusal(refused: &WitnessRefusal) -> Response<Full<Bytes>> {
    let status = match refused {
        WitnessRefusal::UnknownLog => StatusCode::NOT_FOUND,
        WitnessRefusal::Frozen | WitnessRefusal::Signature(_) => StatusCode::FORBIDDEN,
        WitnessRefusal::Malformed(_) | WitnessRefusal::OldBeyondSize { .. } => {
            StatusCode::BAD_REQUEST
        }
        WitnessRefusal::Conflict { known, .. } => {
            return respond(StatusCode::CONFLICT, SIZE, Bytes::from(format!("{known}\n")));
        }
        WitnessRefusal::Proof { .. }
        | WitnessRefusal::SameSize { .. }
        | WitnessRefusal::EmptyRoot { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    };
    text(status, &format!("{refused}\n"))
}

/// Answers that this witness is unavailable; only the log contains the cause.
fn unavailable(error: &NodeError) -> Response<Full<Bytes>> {
    tracing::warn!(%error, "a checkpoint could not be cosigned");
    text(StatusCode::SERVICE_UNAVAILABLE, "this witness signs nothing now; try again later\n")
}

fn named_log(node: &Node, path: &str) -> Option<Bytes> {
    let hash = path.strip_prefix('/')?.strip_suffix("/checkpoint")?;
    let origin =
        node.witnessing.cosigned_origins().into_iter().find(|origin| hex_of(origin) == hash)?;
    node.witnessing.cosigned_checkpoint(&origin)
}

fn hex_of(origin: &str) -> String {
    Sha256::digest(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    respond(status, TEXT, Bytes::copy_from_slice(body.as_bytes()))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let value = http::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
