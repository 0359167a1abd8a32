//! Why an entry is in the public log. Everybody may ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::log::tree::leaf_hash;
use crate::pipeline::log::reading;
use crate::pipeline::{Fault, Kind, Refusal};
use crate::web::error::WebError;
use crate::web::extract::Path;

/// An entry of the log with the proof that a signed checkpoint covers it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogInclusion {
    /// Position in the log, from zero.
    pub sequence: u64,
    /// The leaf's exact text: JSON with `sequence`, `at`, `kind` and the SHA-256 of the body.
    pub leaf: String,
    /// SHA-256 of a zero byte and the leaf, in hex.
    pub leaf_hash: String,
    /// Number of leaves of the tree that the checkpoint is about.
    pub tree_size: u64,
    /// Hashes beside the way from leaf to root, in hex (RFC 6962, 2.1.1).
    pub proof: Vec<String>,
    /// The signed checkpoint (C2SP tlog-checkpoint).
    pub checkpoint: String,
}

/// Proves that an entry is in the log.
#[utoipa::path(
    get, path = "/api/v1/log/{sequence}", tag = "log",
    params(("sequence" = u64, Path, description = "Position in the log, from zero")),
    responses(
        (status = 200, body = LogInclusion),
        (status = "4XX", body = super::openapi::ProblemDocument,
         content_type = "application/problem+json"),
    )
)]
pub async fn one(
    State(app): State<Arc<App>>,
    Path(sequence): Path<u64>,
) -> Result<Json<LogInclusion>, WebError> {
    let inclusion = reading::inclusion(&app.store, sequence).await?.ok_or_else(|| {
        let message = format!("no checkpoint of the log covers entry `{sequence}`");
        Refusal::new(Kind::NotFound, message)
    })?;
    let leaf_hash = leaf_hash(&inclusion.leaf).to_string();
    let leaf = String::from_utf8(inclusion.leaf)
        .map_err(|error| Fault::new("showing a leaf of the log", error))?;
    Ok(Json(LogInclusion {
        sequence,
        leaf,
        leaf_hash,
        tree_size: inclusion.size,
        proof: inclusion.proof.iter().map(ToString::to_string).collect(),
        checkpoint: inclusion.checkpoint,
    }))
}
