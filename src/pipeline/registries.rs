//! Reading from registries as whoever may read them: with an upstream's read credential when it has
//! one. The publish credential never goes to a read, and the key here could not open it (Q17).

use secrecy::SecretString;
use url::Url;

use crate::domain::digest::Sha256;
use crate::domain::listing::Listing;
use crate::domain::package::{PackageName, Version};
use crate::domain::upstream::{CredentialPurpose, Observation, Upstream};
use crate::pipeline::setup::{credential_context, credential_origin};
use crate::pipeline::{Fault, Result};
use crate::store::Store;
use crate::upstream::{Client, Conditions, Download, Passthrough, ReadFault, Reading};
use crate::vault::{ReadingKey, Sealed};

/// The handles that reading uses.
#[derive(Debug, Clone, Copy)]
pub struct Registries<'a> {
    /// The database.
    pub store: &'a Store,
    /// The registries.
    pub client: &'a Client,
    /// Opens read credentials and nothing else.
    pub key: &'a ReadingKey,
    /// Pins the installation that credentials were sealed for (Q18).
    pub genesis: Sha256,
}

impl Registries<'_> {
    /// Asks a registry what it holds of one version.
    pub async fn read_back(
        &self,
        upstream: &Upstream,
        package: &PackageName,
        version: &Version,
    ) -> Result<std::result::Result<Observation, ReadFault>> {
        let credential = self.credential(upstream).await?;
        let reading = Reading { upstream, package, credential: credential.as_ref() };
        Ok(self.client.read_back(reading, version).await)
    }

    /// Reads npm's packument or PyPI's simple page for a publishing client.
    pub async fn packument(
        &self,
        upstream: &Upstream,
        package: &PackageName,
        conditions: Conditions<'_>,
    ) -> Result<std::result::Result<Passthrough, ReadFault>> {
        let credential = self.credential(upstream).await?;
        let reading = Reading { upstream, package, credential: credential.as_ref() };
        Ok(self.client.packument(reading, conditions).await)
    }

    /// Asks a registry which versions it has of a package.
    pub async fn listing(
        &self,
        upstream: &Upstream,
        package: &PackageName,
    ) -> Result<std::result::Result<Listing, ReadFault>> {
        let credential = self.credential(upstream).await?;
        let reading = Reading { upstream, package, credential: credential.as_ref() };
        Ok(self.client.listing(reading).await)
    }

    /// Asks for a file of a package, of at most `limit` bytes, at the address a registry lists.
    pub async fn download(
        &self,
        upstream: &Upstream,
        package: &PackageName,
        url: Option<&Url>,
        limit: u64,
    ) -> Result<std::result::Result<Download, ReadFault>> {
        let credential = self.credential(upstream).await?;
        let reading = Reading { upstream, package, credential: credential.as_ref() };
        Ok(self.client.download(reading, url, limit).await)
    }

    /// The read credential. It is sealed for the address it goes to, so one that was moved to
    /// another row, or whose row got another address, does not open.
    async fn credential(&self, upstream: &Upstream) -> Result<Option<SecretString>> {
        let mut tx = self.store.snapshot().await?;
        let Some(sealed) = tx.read_credential(upstream.id()).await? else { return Ok(None) };
        let origin = credential_origin(upstream, CredentialPurpose::Read);
        let context = credential_context(self.genesis, upstream, &origin, CredentialPurpose::Read);
        self.key
            .open(&context, &Sealed::from_bytes(sealed))
            .map(Some)
            .map_err(|error| Fault::new("opening a read credential", error).into())
    }
}
