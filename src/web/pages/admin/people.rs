//! `/people`: the roster, invitations, roles, and whose a CI account is.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::StatusCode;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::app::App;
use crate::domain::ids::{PersonId, ProposalId, ReleaseId};
use crate::domain::issuer::Issuer;
use crate::domain::package::excerpt;
use crate::domain::roster::{CiIdentity, Role};
use crate::pipeline::leaving::{self, Leaver};
use crate::pipeline::people::{
    self, Added, IdentityOwner, Invited, LinkedIdentity, PersonOverview,
};
use crate::pipeline::setup::overview;
use crate::pipeline::{Error, Kind, Refusal, refuse, sessions, transaction};
use crate::web::display::{When, count, visible};
use crate::web::error::WebError;
use crate::web::extract::{Path, ProtectedForm};
use crate::web::pages::access::role_means;
use crate::web::pages::visit::{
    ByOwner, BySigner, Fields, Visit, correctable, id, listed, see, see_change,
};
use crate::web::pages::{Answer, show};
use crate::web::routes::Routes;
use crate::web::views::form::Choice;
use crate::web::views::people as views;
use crate::web::views::shell::{Badge, Face, Link, Notice, Section, Tone};

/// These routes.
pub(super) fn routes() -> Routes<Arc<App>> {
    Routes::new()
        .get("/people", list)
        .get("/people/invite", invite_form)
        .post("/people/invite", invite)
        .get("/people/identities/new", identity_form)
        .post("/people/identities/new", link_identity)
        .post("/people/invitations/{id}/revoke", revoke_invitation)
        .post("/people/{id}/invite", invite_again)
        .post("/people/{id}/role", change_role)
        .post("/people/{id}/keys/revoke", revoke_keys)
        .post("/people/{id}/sessions/end", end_sessions)
}

const ROLES: [Role; 3] = [Role::Owner, Role::Maintainer, Role::Viewer];

async fn list(visit: Visit) -> Answer {
    let all = people::people_overview(&visit.app.store, visit.now).await?;
    let issuers = overview::issuers(&visit.app.store).await?;
    let owner = visit.is_owner();
    let signers = all.people.iter().filter(|known| can_sign(known)).count();
    let invitations = all.invitations.into_iter().map(|row| views::InvitationRow {
        name: row.person_name,
        role: title(row.role).to_owned(),
        expires: When::new(row.expires_at, visit.now),
        address: None,
        revoke: owner.then(|| format!("/people/invitations/{}/revoke", row.id)),
    });
    let page = views::PeoplePage {
        layout: visit.layout(Section::People, "People & keys").await?,
        notices: notices(signers, &all.people),
        people: all.people.iter().map(|row| person_row(&visit, row, &issuers)).collect(),
        invitations: invitations.collect(),
        bots: all.bots.iter().map(|linked| identity_row(linked, &issuers)).collect(),
        may_invite: owner,
        leavers: leaving::unfinished(&visit.app.store)
            .await?
            .into_iter()
            .map(|leaver| leaver_row(&leaver, visit.now))
            .collect(),
    };
    show(StatusCode::OK, &page)
}

fn leaver_row(leaver: &Leaver, now: Timestamp) -> views::LeaverRow {
    let open = format!("{} to check", count(leaver.unconfirmed, "right"));
    views::LeaverRow {
        face: Face::of(&leaver.name),
        left: When::new(leaver.left_at, now),
        open: Badge::new(Tone::Bad, "list-checks", open),
        href: format!("/people/{}/leaving", leaver.person),
    }
}

fn can_sign(known: &PersonOverview) -> bool {
    known.person.role.may_sign() && known.keys.iter().any(|key| key.suspended_at.is_none())
}

fn notices(signers: usize, everybody: &[PersonOverview]) -> Vec<Notice> {
    let name = |id| everybody.iter().find(|known| known.person.id == id).map(|it| &it.person.name);
    let mut notices = Vec::new();
    if signers < 2 {
        notices.push(Notice {
            tone: Tone::Warn,
            icon: "triangle-alert",
            title: "Only one person can sign".to_owned(),
            text: "Two approvals need at least two people with a passkey.".to_owned(),
            link: None,
        });
    }
    for known in everybody {
        let others = known.keys.iter().filter_map(|key| name(key.beside?));
        notices.extend(others.map(|other| one_browser(&known.person.name, other)));
    }
    notices
}

/// Two people's keys that one person may hold (Q21).
pub(in crate::web::pages) fn one_browser(enrolled: &str, signed_in: &str) -> Notice {
    let (enrolled, signed_in) = (visible(enrolled), visible(signed_in));
    Notice {
        tone: Tone::Warn,
        icon: "users",
        title: format!("{enrolled} enrolled a passkey where {signed_in} was signed in"),
        text: "In the same browser, so one person may hold both keys, and people are what is counted. \
               Ask them; when in doubt revoke the key and invite its owner anew."
            .to_owned(),
        link: None,
    }
}

fn person_row(visit: &Visit, row: &PersonOverview, issuers: &[Issuer]) -> views::PersonRow {
    let you = row.person.id == visit.viewer.person;
    let keys = match row.keys.len() {
        0 => Badge::new(Tone::Warn, "circle-dashed", "No passkey yet"),
        1 => Badge::new(Tone::Warn, "key-round", "1 passkey"),
        several => Badge::new(Tone::Ok, "key-round", count(several as u64, "passkey")),
    };
    let owner = visit.is_owner();
    let link = owner || (you && row.person.role.may_sign());
    views::PersonRow {
        face: Face::of(&row.person.name),
        you,
        role: title(row.person.role).to_owned(),
        keys,
        identities: row.ci_identities.iter().map(|it| identity_row(it, issuers)).collect(),
        link: link.then(|| format!("/people/identities/new?person={}", row.person.id)),
        seen: row.last_seen.map(|at| When::new(at, visit.now)),
        manage: owner.then(|| format!("/people/{}", row.person.id)),
        roles: roles(row.person.role.as_str()),
        joined: row.person.joined_at.is_some(),
    }
}

fn identity_row(linked: &LinkedIdentity, issuers: &[Issuer]) -> views::CiIdentity {
    let known = issuers.iter().find(|issuer| issuer.url() == linked.identity.issuer);
    views::CiIdentity {
        issuer: known.map_or_else(|| visible(&linked.identity.issuer), |it| it.name().to_owned()),
        actor: visible(&linked.identity.actor_id),
    }
}

/// What a role is called.
pub(in crate::web::pages) const fn title(role: Role) -> &'static str {
    match role {
        Role::Owner => "Owner",
        Role::Maintainer => "Maintainer",
        Role::Viewer => "Viewer",
    }
}

fn roles(chosen: &str) -> Vec<Choice> {
    let choice = |role: Role| {
        let choice = Choice::new(role.as_str(), title(role), role_means(role));
        if role.as_str() == chosen { choice.chosen() } else { choice }
    };
    ROLES.map(choice).into()
}

fn parse_role(text: &str) -> Result<Role, Error> {
    Role::parse(text).ok_or_else(|| {
        let received = excerpt(text);
        let message =
            format!("expected owner, maintainer or viewer as role, received `{received}`");
        Refusal::new(Kind::BadInput, message).into()
    })
}

async fn invite_form(ByOwner(visit): ByOwner) -> Answer {
    invite_page(&visit, &Fields::default(), None, None).await
}

async fn invite_page(
    visit: &Visit,
    fields: &Fields,
    message: Option<&str>,
    made: Option<(String, String)>,
) -> Answer {
    let role = if fields.is_blank() { "maintainer" } else { fields.text("role") };
    let page = views::InvitePersonPage {
        layout: visit.layout(Section::People, "Invite someone").await?,
        name: fields.field("name", ""),
        roles: roles(role),
        errors: listed(message, &["name", "role"]),
        made,
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

async fn invite(ByOwner(visit): ByOwner, ProtectedForm(fields): ProtectedForm<Fields>) -> Answer {
    let made = async {
        let (name, role) = (fields.text("name").to_owned(), parse_role(fields.text("role"))?);
        people::add_and_invite(&visit.app.store, visit.now, visit.proposer(&fields), name, role)
            .await
    };
    match made.await {
        Ok(Added::Invited(invited)) => handed_over(&visit, fields.text("name"), &invited).await,
        Ok(Added::Proposed(proposal)) => Ok(see_change(Some(proposal), "/people")),
        Err(error) => {
            let message = correctable(error)?;
            invite_page(&visit, &fields, Some(&message), None).await
        }
    }
}

/// The address is in this answer and nowhere else.
async fn handed_over(visit: &Visit, name: &str, invited: &Invited) -> Answer {
    let origin = visit.app.config.origin_text();
    let address = format!("{origin}/invite/{}", invited.token.expose_secret());
    invite_page(visit, &Fields::default(), None, Some((name.to_owned(), address))).await
}

async fn invite_again(
    ByOwner(visit): ByOwner,
    Path(person): Path<String>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    let (now, by, person) = (visit.now, visit.actor(), id(&person)?);
    let invited = transaction(&visit.app.store, move |tx| {
        Box::pin(async move { people::invite(tx, now, &by, person).await })
    })
    .await?;
    let name = people::person(&visit.app.store, person).await?.person.name;
    handed_over(&visit, &name, &invited).await
}

async fn revoke_invitation(
    ByOwner(visit): ByOwner,
    Path(invitation): Path<String>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    let (now, by, invitation) = (visit.now, visit.actor(), id(&invitation)?);
    transaction(&visit.app.store, move |tx| {
        Box::pin(async move { people::revoke_invitation(tx, now, &by, invitation).await })
    })
    .await?;
    Ok(see("/people"))
}

async fn change_role(
    ByOwner(visit): ByOwner,
    Path(person): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let (now, by, person) = (visit.now, visit.proposer(&fields), id(&person)?);
    let role = parse_role(fields.text("role"))?;
    let changed = transaction(&visit.app.store, move |tx| {
        Box::pin(async move { people::change_role(tx, now, &by, person, role).await })
    })
    .await;
    let again = (format!("/people/{person}/role"), fields);
    visit.changed(changed, (Section::People, "/people"), again).await
}

async fn revoke_keys(
    ByOwner(visit): ByOwner,
    Path(person): Path<String>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    let (now, by, person) = (visit.now, visit.proposer(&fields), id(&person)?);
    let changed = transaction(&visit.app.store, move |tx| {
        Box::pin(async move { people::revoke_keys(tx, now, &by, person).await })
    })
    .await;
    let again = (format!("/people/{person}/keys/revoke"), fields);
    visit.changed(changed, (Section::People, "/people"), again).await
}

async fn end_sessions(
    ByOwner(visit): ByOwner,
    Path(person): Path<String>,
    ProtectedForm(_): ProtectedForm<Fields>,
) -> Answer {
    sessions::end_all_of(&visit.app.store, visit.actor(), id(&person)?).await?;
    Ok(see("/people"))
}

/// What a release's page knows about the account; it only fills the form in.
#[derive(Debug, Default, Deserialize)]
struct Suggested {
    /// Id, url or name.
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    actor_id: String,
    #[serde(default)]
    login: String,
    #[serde(default)]
    person: String,
    #[serde(default)]
    release: String,
}

impl Suggested {
    fn release(&self) -> Option<ReleaseId> {
        self.release.parse().ok()
    }
}

async fn identity_form(BySigner(visit): BySigner, Query(suggested): Query<Suggested>) -> Answer {
    identity_page(&visit, &suggested, &Fields::default(), None).await
}

async fn identity_page(
    visit: &Visit,
    suggested: &Suggested,
    fields: &Fields,
    message: Option<&str>,
) -> Answer {
    let issuers = overview::issuers(&visit.app.store).await?;
    let wanted = if fields.is_blank() { &suggested.issuer } else { fields.text("issuer") };
    let chosen = find_issuer(&issuers, wanted).or(issuers.first()).map(Issuer::id);
    let issuers = issuers.iter().map(|issuer| {
        let choice = Choice::new(issuer.id().to_string(), issuer.name(), issuer.url());
        if Some(issuer.id()) == chosen { choice.chosen() } else { choice }
    });
    let release = suggested
        .release()
        .map(|release| Link::new(format!("/releases/{release}"), "Back to the release"));
    let page = views::LinkIdentityPage {
        layout: visit.layout(Section::People, "Link a CI account").await?,
        issuers: issuers.collect(),
        actor: fields.field("actor_id", &visible(&suggested.actor_id)),
        login: visible(&suggested.login),
        owners: owners(visit, suggested, fields).await?,
        errors: listed(message, &["actor_id"]),
        release,
    };
    let status = if message.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(status, &page)
}

/// Owners may settle it for everybody, people who sign for themselves.
async fn owners(
    visit: &Visit,
    suggested: &Suggested,
    fields: &Fields,
) -> Result<Vec<Choice>, WebError> {
    let mut choices = Vec::new();
    let choose = |choice: Choice| {
        let suggestion = choice.value == suggested.person;
        if fields.chose("owner", &choice.value, suggestion) { choice.chosen() } else { choice }
    };
    for known in people::people_overview(&visit.app.store, visit.now).await?.people {
        if visit.is_owner() || known.person.id == visit.viewer.person {
            let value = known.person.id.to_string();
            choices.push(choose(Choice::new(value, known.person.name, "")));
        }
    }
    if visit.is_owner() {
        let hint = "A scheduler or a release bot that nobody controls alone.";
        choices.push(choose(Choice::new("bot", "Nobody: a bot", hint)));
    }
    Ok(choices)
}

fn find_issuer<'a>(issuers: &'a [Issuer], wanted: &str) -> Option<&'a Issuer> {
    issuers.iter().find(|issuer| {
        issuer.id().to_string() == wanted || issuer.url() == wanted || issuer.name() == wanted
    })
}

async fn link_identity(
    BySigner(visit): BySigner,
    Query(suggested): Query<Suggested>,
    ProtectedForm(fields): ProtectedForm<Fields>,
) -> Answer {
    match link(&visit, &suggested, &fields).await {
        Ok(proposal) => {
            let place = match suggested.release() {
                Some(release) => format!("/releases/{release}"),
                None => "/people".to_owned(),
            };
            Ok(see_change(proposal, &place))
        }
        Err(error) => {
            let message = correctable(error)?;
            identity_page(&visit, &suggested, &fields, Some(&message)).await
        }
    }
}

async fn link(
    visit: &Visit,
    suggested: &Suggested,
    fields: &Fields,
) -> Result<Option<ProposalId>, Error> {
    let issuers = overview::issuers(&visit.app.store).await?;
    let Some(issuer) = find_issuer(&issuers, fields.text("issuer")) else {
        return refuse(Kind::BadInput, "expected an issuer that is configured here");
    };
    let owner = match fields.text("owner") {
        "bot" => IdentityOwner::Bot,
        text => match text.parse::<PersonId>() {
            Ok(person) => IdentityOwner::Person(person),
            Err(_) => return refuse(Kind::BadInput, "expected somebody to whom it belongs"),
        },
    };
    let identity = CiIdentity {
        issuer: issuer.url().to_owned(),
        actor_id: fields.text("actor_id").to_owned(),
    };
    let known = suggested.actor_id == identity.actor_id && !suggested.login.is_empty();
    let name = if known { suggested.login.clone() } else { identity.actor_id.clone() };
    let (now, by) = (visit.now, visit.proposer(fields));
    transaction(&visit.app.store, move |tx| {
        Box::pin(
            async move { people::link_ci_identity(tx, now, &by, identity, &name, owner).await },
        )
    })
    .await
}
