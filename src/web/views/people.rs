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
    /// Whether they have a passkey; otherwise they can be invited again.
    pub joined: bool,
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
    /// Where the remove form posts; none for the last key.
    pub remove: Option<String>,
}
