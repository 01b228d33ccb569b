//! The errors of adding witnesses and of asking them.

use crate::exchange::ImpossibleTime;
use crate::ident::TreeSize;
use crate::journal::state::witnessing::WITNESSES_MAX;
use crate::merkle::KeyError;
use crate::tls::WebError;
use http::StatusCode;
use tonic::Code;

/// The reason why a witness is not added, or did not cosign.
#[derive(Debug, thiserror::Error)]
pub enum WitnessingError {
    #[error("vkey: {0}")]
    Key(KeyError),
    #[error("vkey: a key of a witness has type 0x04, found {found:#04x}")]
    KeyType { found: u8 },
    #[error("vkey: {name} is this node's own key; name the key of another witness")]
    OwnKey { name: String },
    #[error("url: a witness is asked over http only; for https put a local proxy between")]
    Https,
    #[error("url: {0}")]
    Url(WebError),
    #[error("a node has at most {WITNESSES_MAX} witnesses besides its partners")]
    TooMany,
    #[error("witness {name} has this key already; one key is one witness")]
    KnownKey { name: String },
    #[error(
        "the witness answered with size {first} of the last cosigned tree, then with size {second}"
    )]
    TwoSizes { first: TreeSize, second: TreeSize },
    #[error("the witness answered 409 without a tree size")]
    NoSize,
    #[error("the witness answered {0}")]
    Status(StatusCode),
    #[error("the answer of the witness holds no signature line of its key")]
    NoLine,
    #[error("the cosignature of the witness is refused: {0}")]
    Time(ImpossibleTime),
}

impl WitnessingError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Key(_)
            | Self::KeyType { .. }
            | Self::OwnKey { .. }
            | Self::Https
            | Self::Url(_) => Code::InvalidArgument,
            Self::TooMany | Self::KnownKey { .. } | Self::TwoSizes { .. } => {
                Code::FailedPrecondition
            }
            Self::NoSize | Self::Status(_) | Self::NoLine | Self::Time(_) => Code::Internal,
        }
    }
}
