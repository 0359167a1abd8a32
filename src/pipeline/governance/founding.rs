//! The founding ceremony: an owner puts what is set up before the founders, they sign it, and from
//! then on it is governed (Q19, Q21).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{append, governed, governed_alone, unsound};
use crate::domain::digest::Sha256;
use crate::domain::event::Event;
use crate::domain::founding::{DELAY_MAX, DELAY_MIN, FoundingStatement};
use crate::domain::governed::{Governed, Unfounded};
use crate::domain::ids::{CeremonyId, PersonId, PolicyId};
use crate::domain::quorum::Verdict;
use crate::domain::recovery::{RecoveryKey, RecoverySignature, message};
use crate::domain::roster::Role;
use crate::entropy;
use crate::passkeys::Passkeys;
use crate::pipeline::signature::{self, About, Signer, Subject};
use crate::pipeline::{Fault, Kind, Result, again, refuse, transaction};
use crate::store::signin::Ceremony;
use crate::store::{Store, Tx};

/// The private half of the recovery key, as it is printed: a word that names it and 43 characters.
/// Shown once and kept nowhere.
#[derive(Debug, Clone)]
pub struct RecoverySecret(SecretString);

impl RecoverySecret {
    const PREFIX: &str = "countersign-recovery-";

    fn draw() -> Result<(Self, RecoveryKey)> {
        let seed = Zeroizing::new(entropy::bytes::<32>()?);
        let pair = pair(&*seed)?;
        let text = format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(*seed));
        Ok((Self(text.into()), public(&pair)?))
    }

    /// Reads what somebody typed from the printed sheet.
    pub fn parse(text: &str) -> Result<Self> {
        let secret = Self(text.trim().to_owned().into());
        secret.pair()?;
        Ok(secret)
    }

    /// The text for the sheet.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn pair(&self) -> Result<Ed25519KeyPair> {
        let text = self.0.expose_secret().strip_prefix(Self::PREFIX);
        let seed = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).map(Zeroizing::new);
        match seed.map(|seed| Ed25519KeyPair::from_seed_unchecked(&seed)) {
            Some(Ok(pair)) => Ok(pair),
            // Nothing of what was typed is repeated.
            Some(Err(_)) | None => refuse(
                Kind::BadInput,
                format!("expected a recovery secret that begins with `{}`", Self::PREFIX),
            ),
        }
    }

    /// Signs a proposal.
    pub fn sign(&self, proposal: &Sha256) -> Result<RecoverySignature> {
        let signature = self.pair()?.sign(&message(proposal));
        let bytes = signature.as_ref().try_into();
        Ok(RecoverySignature::from_bytes(bytes.map_err(|error| Fault::new("signing", error))?))
    }
}

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|error| Fault::new("making a recovery key", error.to_string()).into())
}

fn public(pair: &Ed25519KeyPair) -> Result<RecoveryKey> {
    let bytes = pair.public_key().as_ref().try_into();
    Ok(RecoveryKey::from_bytes(bytes.map_err(|error| Fault::new("making a recovery key", error))?))
}

/// Puts what is set up before the founders. Owners may. Returns the recovery secret, which nothing
/// returns again; putting it before them once more draws another.
pub async fn put(
    store: &Store,
    by: PersonId,
    governing: PolicyId,
    delay: SignedDuration,
    now: Timestamp,
) -> Result<RecoverySecret> {
    let (secret, key) = RecoverySecret::draw()?;
    transaction(store, move |tx| {
        Box::pin(async move {
            let governed = unfounded(governed_alone(tx).await?)?;
            let roster = governed.roster().map_err(unsound)?;
            if roster.person(by).is_none_or(|person| person.role != Role::Owner) {
                return refuse(Kind::Forbidden, "only owners may do this");
            }
            check(&governed, governing, delay)?;
            let founding = governed.founding(governing, delay, key).map_err(unsound)?;
            append(tx, now, Event::FoundingProposed { founding: Box::new(founding), by }).await?;
            Ok(())
        })
    })
    .await?;
    Ok(secret)
}

fn unfounded(governed: Governed) -> Result<Governed> {
    if governed.founded().is_some() {
        return refuse(Kind::Conflict, "this installation is founded already");
    }
    Ok(governed)
}

fn check(governed: &Governed, governing: PolicyId, delay: SignedDuration) -> Result<()> {
    if delay < DELAY_MIN || delay > DELAY_MAX {
        let received = delay.as_hours();
        return refuse(
            Kind::BadInput,
            format!("expected a delay of 24 to 336 hours, received `{received}`"),
        );
    }
    let Ok(policy) = governed.policy(governing) else {
        return refuse(Kind::BadInput, "expected one of the policies as the governing one");
    };
    let (required, strictest) = (policy.required(), governed.strictest());
    if required < strictest {
        return refuse(
            Kind::BadInput,
            format!(
                "expected a governing policy that asks for {strictest} people or more, as the \
                 policy of a package does, received `{required}`"
            ),
        );
    }
    let roster = governed.roster().map_err(unsound)?;
    let able = roster.approvers(policy, Timestamp::MAX);
    if policy.lacks(&able, true) > 0 {
        let able = able.people.len();
        return refuse(
            Kind::Conflict,
            format!(
                "expected {} people of the governing policy with passkeys as it asks for, of \
                 whom `{able}` have one that counts; the others have to join first",
                policy.required_with(true)
            ),
        );
    }
    Ok(())
}

/// Begins a founder's signature.
pub async fn begin(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    now: Timestamp,
) -> Result<(CeremonyId, serde_json::Value)> {
    again(|| async {
        let mut tx = store.begin().await?;
        let governed = unfounded(governed(&mut tx).await?)?;
        let statement = statement(&governed, signer.person, now)?;
        let (about, verdict) = (About::Founding, Verdict::Approve);
        let subject = Subject { about, verdict, statement: statement.to_bytes() };
        let begun = signature::begin(&mut tx, passkeys, signer, subject, now).await?;
        tx.commit().await?;
        Ok(begun)
    })
    .await
}

fn statement(governed: &Governed, person: PersonId, now: Timestamp) -> Result<FoundingStatement> {
    let Some(Unfounded { founding, signed_by, .. }) = governed.unfounded() else {
        return refuse(Kind::Conflict, "nothing waits for founders; an owner puts it before them");
    };
    if signed_by.contains(&person) {
        return refuse(Kind::Conflict, "you signed this already");
    }
    let members = governed.policy(founding.governing).map_err(unsound)?.members();
    let roster = governed.roster().map_err(unsound)?;
    if !roster.able_to_sign(members, now).contains(&person) {
        return refuse(
            Kind::Forbidden,
            "the governing policy does not name you, or you hold no key",
        );
    }
    Ok(FoundingStatement::new(person, founding.clone()))
}

/// Whether a founding document waits for this person's signature.
pub fn waits_for(governed: &Governed, person: PersonId, now: Timestamp) -> bool {
    governed.founded().is_none() && statement(governed, person, now).is_ok()
}

/// Finishes a founder's signature. Returns the digest of the founding when it was the last one
/// needed; the caller pins it outside the database before anything else happens (Q18).
pub async fn finish(
    store: &Store,
    passkeys: &Passkeys,
    signer: &Signer,
    (ceremony, credential): (CeremonyId, serde_json::Value),
    now: Timestamp,
) -> Result<Option<Sha256>> {
    again(|| async {
        let mut tx = store.begin().await?;
        let result = match signature::take(&mut tx, signer, (ceremony, About::Founding), now)
            .await?
        {
            Some(taken) => sign(&mut tx, passkeys, (&taken, &credential), signer.person, now).await,
            None => refuse(Kind::Gone, signature::OVER),
        };
        signature::keep(tx, result).await
    })
    .await
}

/// Lets what waited for the founding go out, once it is pinned.
pub async fn go_on(store: &Store, now: Timestamp) -> Result<()> {
    transaction(store, move |tx| Box::pin(async move { Ok(tx.hasten_jobs(now).await?) })).await
}

async fn sign(
    tx: &mut Tx,
    passkeys: &Passkeys,
    answer: (&Ceremony, &serde_json::Value),
    person: PersonId,
    now: Timestamp,
) -> Result<Option<Sha256>> {
    let before = unfounded(governed_alone(tx).await?)?;
    if statement(&before, person, now)?.to_bytes() != answer.0.statement.clone().unwrap_or_default()
    {
        return refuse(
            Kind::Conflict,
            "what you would sign changed while the prompt was open; read it again",
        );
    }
    let said = (About::Founding, Verdict::Approve);
    let (decision, _) = signature::finish(tx, passkeys, answer, said, now).await?;
    let after = append(tx, now, Event::FoundingSigned { decision }).await?;
    Ok(after.founded().map(|founded| founded.digest))
}
