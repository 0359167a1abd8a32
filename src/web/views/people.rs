//! The roster, invitations, CI identities, and one's own passkeys.

use askama::Template;

use super::form::{Choice, Field, FormError};
use super::shell::{Badge, Face, Layout, Notice};
use crate::web::display::When;

/// `/people`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/people.html")]
pub struct PeoplePage {
    /// The frame.
    pub layout: Layout,
    /// Standing warnings: "Only you. Two approvals need at least two people."
    pub notices: Vec<Notice>,
    /// Everybody.
    pub people: Vec<PersonRow>,
    /// Invitations that are open.
    pub invitations: Vec<InvitationRow>,
    /// CI accounts that are nobody's but declared as bots.
    pub bots: Vec<CiIdentity>,
    /// Whether this person may invite and link.
    pub may_invite: bool,
    /// People who left and may still hold rights at registries.
    pub leavers: Vec<LeaverRow>,
}

/// Somebody who left with rights that nobody saw to be gone.
#[derive(Clone, Debug)]
pub struct LeaverRow {
    /// Who.
    pub face: Face,
    /// When they left.
    pub left: When,
    /// "5 rights to check".
    pub open: Badge,
    /// Their checklist.
    pub href: String,
}

/// One person of the roster.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// Who.
    pub face: Face,
    /// This is the reader.
    pub you: bool,
    /// "Owner".
    pub role: String,
    /// "2 passkeys", "1 passkey", "No passkey yet".
    pub keys: Badge,
    /// Linked CI accounts.
    pub identities: Vec<CiIdentity>,
    /// `/people/identities/new?person={id}`, when the reader may link one.
    pub link: Option<String>,
    /// Last request; none before the first.
    pub seen: Option<When>,
    /// `/people/{id}`, below which the forms for owners post; none for others.
    pub manage: Option<String>,
    /// Field `role` of one of them.
    pub roles: Vec<Choice>,
    /// Whether they have joined with a passkey; otherwise they can be invited again.
    pub joined: bool,
}

/// `/people/{id}/leave`: what leaving ends, before it does.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/leave.html")]
pub struct LeavePage {
    /// The frame.
    pub layout: Layout,
    /// Who would leave.
    pub face: Face,
    /// The reader is leaving.
    pub you: bool,
    /// What ends at once or with the proposal, as sentences.
    pub ends: Vec<String>,
    /// What only registries can end, as sentences.
    pub remains: Vec<String>,
    /// Others have to sign first: the installation is founded.
    pub proposes: bool,
}

/// `/people/{id}/leaving`: what a leaver may still hold at registries.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/leaving.html")]
pub struct LeavingPage {
    /// The frame.
    pub layout: Layout,
    /// Who left.
    pub face: Face,
    /// When.
    pub left: When,
    /// "3 of 8 are gone".
    pub standing: Badge,
    /// What they may hold, by registry.
    pub groups: Vec<RightGroup>,
    /// Whether the reader may confirm.
    pub may_confirm: bool,
}

impl LeavingPage {
    /// Whether anything is left to confirm.
    pub fn is_open(&self) -> bool {
        self.groups.iter().any(|group| group.rights.iter().any(|right| right.confirmed.is_none()))
    }
}

/// The rights at one registry, or here.
#[derive(Clone, Debug)]
pub struct RightGroup {
    /// "At Local npm", or "Here".
    pub title: String,
    /// Each of them.
    pub rights: Vec<RightRow>,
}

/// One right.
#[derive(Clone, Debug)]
pub struct RightRow {
    /// Value of the field `right`.
    pub id: String,
    /// "Owner or maintainer of".
    pub what: String,
    /// The package or publisher; empty when `what` says it all.
    pub name: String,
    /// How to see that it is gone, one sentence.
    pub how: String,
    /// Who saw that it is gone, and when.
    pub confirmed: Option<(String, When)>,
}

/// A CI account.
#[derive(Clone, Debug)]
pub struct CiIdentity {
    /// Issuer name.
    pub issuer: String,
    /// Numeric id.
    pub actor: String,
}

/// An invitation that was not used yet.
#[derive(Clone, Debug)]
pub struct InvitationRow {
    /// For whom.
    pub name: String,
    /// Role.
    pub role: String,
    /// When it runs out.
    pub expires: When,
    /// The address, only on the page right after inviting: it is not kept.
    pub address: Option<String>,
    /// Where the form posts that takes it back; none for those who may not.
    pub revoke: Option<String>,
}

/// `/people/invite`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/person_invite.html")]
pub struct InvitePersonPage {
    /// The frame.
    pub layout: Layout,
    /// Field `name`.
    pub name: Field,
    /// Field `role`: radio, values `owner`, `maintainer`, `viewer`.
    pub roles: Vec<Choice>,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
    /// After inviting: the name and the address to hand over, shown once.
    pub made: Option<(String, String)>,
}

/// Links a CI account to a person, or declares it a bot (ruling Q16).
#[derive(Clone, Debug, Template)]
#[template(path = "pages/identity_new.html")]
pub struct LinkIdentityPage {
    /// The frame.
    pub layout: Layout,
    /// Field `issuer`: radio by issuer id.
    pub issuers: Vec<Choice>,
    /// Field `actor_id`: digits.
    pub actor: Field,
    /// Name of the account in the token that made somebody ask; proves nothing.
    pub login: String,
    /// Field `owner`: radio; person ids, and `bot`.
    pub owners: Vec<Choice>,
    /// Errors of fields, for the list above the form.
    pub errors: Vec<FormError>,
    /// The release that waits for the answer: its page and name.
    pub release: Option<super::shell::Link>,
}

/// `/me/keys`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/keys.html")]
pub struct KeysPage {
    /// The frame.
    pub layout: Layout,
    /// One card each.
    pub keys: Vec<KeyCard>,
    /// Base of the enrolment ceremony: `/me/keys`.
    pub ceremony: String,
    /// The session reads, so nothing that changes anything is offered.
    pub reading: bool,
    /// Where the reader is signed in, this session first.
    pub sessions: Vec<SessionRow>,
    /// `/people/{id}/leave`.
    pub leave: String,
    /// Single sign-on, where it is configured.
    pub sso: Option<SsoCard>,
}

/// The reader's account of the single sign-on.
#[derive(Clone, Debug)]
pub struct SsoCard {
    /// What the issuer is called.
    pub name: String,
    /// Since when the account is linked.
    pub linked: Option<When>,
}

/// One session of the reader.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// "Firefox on Linux".
    pub browser: String,
    /// "Opened with “YubiKey 5C”".
    pub opened: String,
    /// When it began.
    pub began: When,
    /// The last request in it.
    pub seen: When,
    /// It is the one that asks.
    pub here: bool,
    /// Where the form posts that ends it; none for the one that asks.
    pub end: Option<String>,
}

/// One passkey.
#[derive(Clone, Debug)]
pub struct KeyCard {
    /// Its name.
    pub name: String,
    /// "Synced" or "Stays on one device".
    pub kind: Badge,
    /// When it was added.
    pub added: When,
    /// When it last signed anything.
    pub used: Option<When>,
    /// What to read out to those who vouch for it, while they have not.
    pub words: Option<String>,
    /// Where the remove form posts; none for the last key.
    pub remove: Option<String>,
}
