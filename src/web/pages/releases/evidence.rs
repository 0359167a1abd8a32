//! The evidence of a release, as a page and as a file.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::view;
use crate::app::App;
use crate::domain::attestation;
use crate::domain::evidence::{Approval, Proven};
use crate::domain::ids::ReleaseId;
use crate::domain::manifest::ManifestFile;
use crate::pipeline::evidence::{Evidence, Names, evidence};
use crate::pipeline::{Error, review};
use crate::web::display::{When, size, visible};
use crate::web::extract::{Now, Path, SignedIn};
use crate::web::pages::visit::Visit;
use crate::web::pages::{Answer, show};
use crate::web::security::attachment;
use crate::web::views::evidence::{EvidenceFile, EvidencePage};
use crate::web::views::shell::{Fact, HistoryItem, Section};

/// What the page shows is what the file shows.
pub(super) async fn page(visit: Visit, Path(id): Path<ReleaseId>) -> Answer {
    let (app, now) = (&visit.app, visit.now);
    let release = review::release(&app.store, id, visit.viewer.person, now).await?;
    let Evidence { proven, .. } =
        evidence(&app.store, &app.notary, id, Names::Revealed, now).await?;
    let key = app.notary.verifier_key();
    let name = view::name(&release.record, &release.upstream);
    let title = format!("Evidence of {} {}", name.package, name.version);
    let manifest = proven.authorised.manifest().manifest();
    let file = |file: &ManifestFile| EvidenceFile {
        name: visible(&file.name),
        size: size(file.size_bytes),
        sha256: file.sha256.to_string(),
    };
    let files: Vec<EvidenceFile> = manifest.files.iter().map(file).collect();
    let digest = files.first().map_or("", |file| &file.sha256);
    show(
        StatusCode::OK,
        &EvidencePage {
            layout: visit.layout(Section::Releases, &title).await?,
            release: name,
            facts: facts(&proven, key.name()),
            approvals: proven.approvals.iter().map(|a| approval(a, &proven, now)).collect(),
            practices: attestation::practices(&proven),
            download: format!("/releases/{id}/evidence.json"),
            in_toto: format!("/releases/{id}/evidence.intoto.jsonl"),
            ssdf: format!("/releases/{id}/evidence.ssdf.json"),
            command: format!(
                "countersign verify evidence.json --key '{key}' --digest sha256:{digest}"
            ),
            files,
        },
    )
}

fn facts(proven: &Proven, log: &str) -> Vec<Fact> {
    let authorised = &proven.authorised;
    vec![
        Fact::code("Published to", visible(&authorised.upstream().url)),
        Fact::code("Sending began", proven.sent_at.to_string()),
        Fact::words("Outcome", proven.outcome.as_str()),
        Fact::code("Manifest", format!("sha256:{}", authorised.manifest().digest())),
        Fact::code("Log", log),
        Fact::words("Entries", proven.tree.size.to_string()),
        Fact::code("Its root", proven.tree.root.to_string()),
    ]
}

fn approval(approval: &Approval, proven: &Proven, now: jiff::Timestamp) -> HistoryItem {
    let person = approval.person.to_string();
    HistoryItem {
        icon: "badge-check",
        who: visible(proven.bundle.names.get(&approval.person).unwrap_or(&person)),
        what: format!("({person}) approved with key {}", approval.credential_id),
        note: approval.note.as_deref().map(visible),
        when: When::new(approval.at, now),
    }
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    names: bool,
}

/// The in-toto statement.
pub(super) async fn in_toto(
    State(app): State<Arc<App>>,
    now: Now,
    _viewer: SignedIn,
    Path(id): Path<ReleaseId>,
) -> Answer {
    let proven = proven(&app, id, now).await?;
    let signed = app.notary.sign_in_toto(&proven);
    Ok(attachment(signed, "evidence.intoto.jsonl", "application/json")?)
}

/// The practices of the Secure Software Development Framework.
pub(super) async fn ssdf(
    State(app): State<Arc<App>>,
    now: Now,
    _viewer: SignedIn,
    Path(id): Path<ReleaseId>,
) -> Answer {
    let proven = proven(&app, id, now).await?;
    Ok(attachment(attestation::ssdf(&proven), "evidence.ssdf.json", "application/json")?)
}

/// What the evidence of a release proves; no one's name is needed for it.
async fn proven(app: &App, id: ReleaseId, Now(now): Now) -> Result<Proven, Error> {
    Ok(evidence(&app.store, &app.notary, id, Names::Withheld, now).await?.proven)
}

/// The file.
pub(super) async fn file(
    State(app): State<Arc<App>>,
    Now(now): Now,
    _viewer: SignedIn,
    Path(id): Path<ReleaseId>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let names = if wanted.names { Names::Revealed } else { Names::Withheld };
    let Evidence { bytes, .. } = evidence(&app.store, &app.notary, id, names, now).await?;
    Ok(attachment(bytes, "evidence.json", "application/json")?)
}
