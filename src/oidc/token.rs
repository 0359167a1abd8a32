//! Strict reading of a compact JWS before anything in it is believed (O6, O7).
//!
//! Wider than RFC 7515 in nothing and narrower in much: what is refused here never reaches a
//! parser that would guess. The result still has an unverified name because it is unverified.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Unverified;
use crate::domain::claims::JTI_MAX_BYTES;
use crate::domain::issuer::Algorithm;

/// Longest token in bytes (O7); real ones have one to two thousand.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting of a token's JSON (O7).
pub const DEPTH_MAX: usize = 8;
/// Longest `kid` in bytes; real ones have some forty.
pub const KID_MAX_BYTES: usize = 255;
/// Header members a CI token may have. The others carry keys, compression or encryption (O6), or
/// are unknown; `x5t` only fingerprints a certificate that nothing here reads.
const HEADER_MEMBERS: [&str; 4] = ["alg", "kid", "typ", "x5t"];

/// A decoded token whose signature nobody has looked at.
pub(super) struct UnverifiedToken<'a> {
    /// The signed text: `header.payload`.
    pub(super) signing_input: &'a str,
    /// The header's `kid`.
    pub(super) kid: String,
    /// The header's `alg`.
    pub(super) algorithm: Algorithm,
    /// The payload's members.
    pub(super) members: Map<String, Value>,
}

impl<'a> UnverifiedToken<'a> {
    /// Decodes a token without network and without cryptography.
    pub(super) fn read(token: &'a str) -> Result<Self, Unverified> {
        if token.is_empty() || token.len() > TOKEN_MAX_BYTES {
            return Err(Unverified::Length { received: token.len() });
        }
        let segments: Vec<&str> = token.splitn(6, '.').collect();
        let [header, payload, signature] = segments[..] else {
            return Err(Unverified::Segments { received: segments.len() });
        };
        let decode = |part, text: &str| {
            // This engine refuses padding, the other alphabet, white space and stray final bits.
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Unverified::Encoding { part })
        };
        if decode("signature", signature)?.is_empty() {
            return Err(Unverified::Encoding { part: "signature" });
        }
        let header = read_object("header", &decode("header", header)?)?;
        let (kid, algorithm) = read_header(&header)?;
        let members = read_object("payload", &decode("payload", payload)?)?;
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(Self { signing_input, kid, algorithm, members })
    }

    /// The payload's `iss`, only ever used to choose among configured issuers (O1).
    pub(super) fn issuer(&self) -> Option<&str> {
        self.members.get("iss").and_then(Value::as_str)
    }
}

fn read_header(header: &Map<String, Value>) -> Result<(String, Algorithm), Unverified> {
    if let Some(name) = header.keys().find(|name| !HEADER_MEMBERS.contains(&name.as_str())) {
        return Err(Unverified::HeaderMember { name: shorten(name) });
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind == "JWT" => {}
        Some(other) => return Err(Unverified::Type { received: shorten(&other.to_string()) }),
    }
    let algorithm = match header.get("alg") {
        Some(Value::String(text)) => Algorithm::parse(text),
        _ => None,
    };
    let algorithm = algorithm.ok_or_else(|| Unverified::Algorithm {
        received: header.get("alg").map_or_else(String::new, |alg| shorten(&alg.to_string())),
    })?;
    match header.get("kid") {
        Some(Value::String(kid)) if is_kid(kid) => Ok((kid.clone(), algorithm)),
        _ => Err(Unverified::KeyId),
    }
}

/// True for a key identifier short and plain enough to be looked up and logged.
pub(super) fn is_kid(text: &str) -> bool {
    (1..=KID_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn shorten(text: &str) -> String {
    text.chars().take(JTI_MAX_BYTES).flat_map(char::escape_debug).collect()
}

fn read_object(part: &'static str, bytes: &[u8]) -> Result<Map<String, Value>, Unverified> {
    read_json(bytes).map_err(|reason| Unverified::Json { part, reason })
}

/// Reads one JSON object: UTF-8, nothing after it, no member twice at any level, at most
/// [`DEPTH_MAX`] levels. The error says what was wrong and where.
pub(super) fn read_json(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 1 }.deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err("expected an object".to_owned()),
    }
}

/// Builds a [`Value`] as serde_json does, but refuses what serde_json resolves by choosing: of two
/// members with one name it keeps the last, and another reader may keep the first.
#[derive(Clone, Copy)]
struct Strict {
    /// The level a container would be on if one came now; the outermost is on 1.
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth > DEPTH_MAX {
            return Err(E::custom(format!("expected at most {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("expected a number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("member `{}` twice", shorten(&name))));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
