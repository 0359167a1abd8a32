//! An OIDC issuer of CI tokens: whose word about a run counts, and within which bounds.
//!
//! An issuer is configuration. A token only selects one, by its exact `iss`; nothing a token says
//! ever becomes an address we connect to. Rules O1 to O26 are those of the threat model.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::address;
use super::ids::IssuerId;
use super::package::excerpt;

/// Largest `max_age_minutes` an issuer row may have (O9).
pub const AGE_MAX_MINUTES: u16 = 60;

/// Which provider's claims an issuer's tokens carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// GitHub Actions, hosted or on an enterprise server.
    GitHub,
    /// GitLab CI ID tokens.
    GitLab,
    /// Anything else: matched by typed equality only (O24).
    Generic,
}

impl Preset {
    /// The word in configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Generic => "generic",
        }
    }
}

/// A signature algorithm an issuer may use (O6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3).
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    #[serde(rename = "ES256")]
    Es256,
}

impl Algorithm {
    /// The value of a token's `alg` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// Reads an `alg` header, byte for byte.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// An issuer as the set-up file and the database write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What people call it.
    pub name: String,
    /// Which claims its tokens carry.
    pub preset: Preset,
    /// The exact `iss`.
    pub url: String,
    /// Whether it may live on a loopback or private address (Q15).
    #[serde(default)]
    pub allow_private: bool,
    /// `host` or `host:port` of `jwks_uri` when that is not the issuer's own (O3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_host: Option<String>,
    /// Accepted signature algorithms.
    #[serde(default = "default_algorithms")]
    pub algorithms: BTreeSet<Algorithm>,
    /// Oldest accepted token, in minutes since `iat`, 1 to [`AGE_MAX_MINUTES`].
    #[serde(default = "default_max_age")]
    pub max_age_minutes: u16,
}

fn default_algorithms() -> BTreeSet<Algorithm> {
    BTreeSet::from([Algorithm::Rs256])
}

const fn default_max_age() -> u16 {
    10
}

/// Why text is not an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// The name is empty, too long or not printable.
    #[error("expected an issuer name of 1 to 80 printable characters, received `{received}`")]
    Name {
        /// What came.
        received: String,
    },
    /// The address is not one an issuer can have.
    #[error("expected {expected} as the issuer's url, received `{received}`")]
    Url {
        /// What would have been accepted.
        expected: &'static str,
        /// What came.
        received: String,
    },
    /// The key host is not `host` or `host:port`.
    #[error("expected `host` or `host:port` in lower case as jwks_host, received `{received}`")]
    JwksHost {
        /// What came.
        received: String,
    },
    /// No algorithm is left.
    #[error("expected at least one of RS256 and ES256 as algorithms, received `none`")]
    Algorithms,
    /// The age limit is out of range.
    #[error("expected 1 to {AGE_MAX_MINUTES} as max_age_minutes, received `{received}`")]
    MaxAge {
        /// What came.
        received: u16,
    },
}

/// A configured OIDC issuer of CI tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    id: IssuerId,
    config: IssuerConfig,
    address: Url,
}

impl Issuer {
    /// Checks an issuer's row. Plain http is for loopback with `allow_private` only (O1, Q15).
    pub fn parse(id: IssuerId, config: IssuerConfig) -> Result<Self, IssuerError> {
        let name_ok = (1..=80).contains(&config.name.chars().count())
            && !config.name.chars().any(char::is_control);
        if !name_ok {
            return Err(IssuerError::Name { received: excerpt(&config.name) });
        }
        let address = Self::parse_url(&config.url, config.allow_private)?;
        if let Some(host) = &config.jwks_host {
            let canonical = format!("https://{host}/");
            // A path, query or user would end up in front of or behind that last slash.
            let bare = !host.contains(['/', '?', '#', '@', '\\']);
            if !bare || Url::parse(&canonical).map(String::from) != Ok(canonical) {
                return Err(IssuerError::JwksHost { received: excerpt(host) });
            }
        }
        if config.algorithms.is_empty() {
            return Err(IssuerError::Algorithms);
        }
        if !(1..=AGE_MAX_MINUTES).contains(&config.max_age_minutes) {
            return Err(IssuerError::MaxAge { received: config.max_age_minutes });
        }
        Ok(Self { id, config, address })
    }

    fn parse_url(text: &str, allow_private: bool) -> Result<Url, IssuerError> {
        let refused = |expected| IssuerError::Url { expected, received: excerpt(text) };
        let shape = "an absolute https address in canonical form, at most 512 bytes long, \
                     without user, query or fragment";
        let url = Url::parse(text).map_err(|_| refused(shape))?;
        let canonical = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if text.len() > 512 || !canonical || !bare {
            return Err(refused(shape));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(v4)) => Some(v4.into()),
            Some(Host::Ipv6(v6)) => Some(v6.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(refused(shape)),
        };
        if literal.is_some_and(|ip| !address::may_connect(ip, allow_private)) {
            return Err(refused("a public address, or allow_private for a private one"));
        }
        let loopback = literal.is_some_and(|ip: IpAddr| ip.is_loopback())
            || url.host_str() == Some("localhost");
        match url.scheme() {
            "https" => Ok(url),
            "http" if allow_private && loopback => Ok(url),
            _ => Err(refused("an https address, or a loopback one with allow_private")),
        }
    }

    /// The issuer's identity in the database; publishers point at it (O2).
    pub const fn id(&self) -> IssuerId {
        self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The exact `iss`.
    pub fn url(&self) -> &str {
        &self.config.url
    }

    /// The same, parsed.
    pub const fn address(&self) -> &Url {
        &self.address
    }

    /// Which claims its tokens carry.
    pub const fn preset(&self) -> Preset {
        self.config.preset
    }

    /// Whether its keys may be fetched from loopback and private addresses (Q15).
    pub const fn allow_private(&self) -> bool {
        self.config.allow_private
    }

    /// `host` or `host:port` where its keys live, when not on its own host (O3).
    pub fn jwks_host(&self) -> Option<&str> {
        self.config.jwks_host.as_deref()
    }

    /// Accepted signature algorithms, never empty (O6).
    pub const fn algorithms(&self) -> &BTreeSet<Algorithm> {
        &self.config.algorithms
    }

    /// Oldest accepted token, from `iat` to now (O9).
    pub const fn max_age(&self) -> SignedDuration {
        SignedDuration::from_mins(self.config.max_age_minutes as i64)
    }

    /// The row to write, equal to what [`Self::parse`] read.
    pub const fn config(&self) -> &IssuerConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, allow_private: bool) -> Result<Issuer, IssuerError> {
        let config = IssuerConfig { url: url.to_owned(), allow_private, ..config() };
        Issuer::parse(IssuerId::from_uuid(uuid::Uuid::nil()), config)
    }

    fn config() -> IssuerConfig {
        toml::from_str("name = \"ci\"\npreset = \"github\"\nurl = \"https://ci.example\"").unwrap()
    }

    #[test]
    fn an_issuer_has_careful_defaults_and_no_unknown_keys() {
        let issuer = Issuer::parse(IssuerId::from_uuid(uuid::Uuid::nil()), config()).unwrap();
        assert_eq!(issuer.algorithms(), &BTreeSet::from([Algorithm::Rs256]));
        assert_eq!(issuer.max_age(), SignedDuration::from_mins(10));
        assert!(!issuer.allow_private() && issuer.jwks_host().is_none());
        let extra = "name = \"ci\"\npreset = \"github\"\nurl = \"https://ci.example\"\nfoo = 1";
        assert!(toml::from_str::<IssuerConfig>(extra).is_err());
        let hs256 = "name = \"x\"\npreset = \"github\"\nurl = \"x\"\nalgorithms = [\"HS256\"]";
        assert!(toml::from_str::<IssuerConfig>(hs256).is_err());
    }

    /// Rules O1, Q15.
    #[test]
    fn an_issuer_is_https_unless_it_is_loopback_and_allowed() {
        for url in ["https://ci.example", "https://ci.example/", "https://ci.example:8443/a/b"] {
            assert_eq!(parse(url, false).unwrap().url(), url);
        }
        for url in ["http://127.0.0.1:19500", "http://localhost:19500", "http://[::1]:1"] {
            assert!(parse(url, true).is_ok(), "{url}");
            assert!(matches!(parse(url, false), Err(IssuerError::Url { .. })), "{url}");
        }
        assert!(parse("https://10.0.0.5", true).is_ok());
        for (url, allow_private) in [
            ("http://ci.example", true),
            ("http://10.0.0.5", true),
            ("https://10.0.0.5", false),
            ("https://169.254.169.254", true),
            ("https://2130706433", false),
            ("https://[::ffff:10.0.0.1]", false),
            ("https://CI.example", false),
            ("https://ci.example:443", false),
            ("https://user@ci.example", false),
            ("https://ci.example?x", false),
            ("https://ci.example#x", false),
            ("https://ci.example/../x", false),
            (" https://ci.example", false),
            ("ftp://ci.example", true),
            ("ci.example", false),
            ("", false),
        ] {
            let refused = parse(url, allow_private);
            assert!(matches!(refused, Err(IssuerError::Url { .. })), "{url}: {refused:?}");
        }
        assert!(parse(&format!("https://ci.example/{}", "a".repeat(600)), false).is_err());
    }

    /// Rules O3, O6, O9.
    #[test]
    fn key_host_algorithms_and_age_are_bounded() {
        let with = |change: &dyn Fn(&mut IssuerConfig)| {
            let mut config = config();
            change(&mut config);
            Issuer::parse(IssuerId::from_uuid(uuid::Uuid::nil()), config)
        };
        for host in ["keys.example", "keys.example:8443"] {
            assert!(with(&|config| config.jwks_host = Some(host.to_owned())).is_ok(), "{host}");
        }
        for host in ["", "Keys.example", "https://keys.example", "keys.example/x", "a@b", "a?b"] {
            let refused = with(&|config| config.jwks_host = Some(host.to_owned()));
            assert!(matches!(refused, Err(IssuerError::JwksHost { .. })), "{host}");
        }
        let none = with(&|config| config.algorithms.clear());
        assert_eq!(none, Err(IssuerError::Algorithms));
        for minutes in [0, 61] {
            let refused = with(&|config| config.max_age_minutes = minutes);
            assert_eq!(refused, Err(IssuerError::MaxAge { received: minutes }));
        }
        assert!(with(&|config| config.max_age_minutes = 60).is_ok());
        assert!(matches!(with(&|config| config.name.clear()), Err(IssuerError::Name { .. })));
    }
}
