//! JSON with one meaning: UTF-8 without a byte order mark, no key twice, bounded depth (N3).

use std::cell::Cell;
use std::collections::btree_map;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::domain::package::excerpt;

/// Why bytes are not strict JSON (rows N01-N03, N29, N30).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonRefusal {
    /// Starts with U+FEFF, which some readers skip and others do not.
    #[error("expected JSON without a byte order mark, received one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("expected JSON in UTF-8, received other bytes at offset {offset}")]
    NotUtf8 {
        /// Where the first bad byte is, counted from 0.
        offset: usize,
    },
    /// Two members of one object share a name, and readers disagree which one counts.
    #[error("expected each key once per object, received `{key}` twice")]
    DuplicateKey {
        /// The key, escaped and cut.
        key: String,
    },
    /// Arrays and objects are nested deeper than allowed.
    #[error("expected JSON nested at most {limit} deep, received deeper")]
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// Longer than allowed.
    #[error("expected at most {limit} bytes of JSON, received {length}")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
        /// The length that came, in bytes.
        length: usize,
    },
    /// Not JSON by RFC 8259, trailing bytes included.
    #[error("expected one JSON value, received `{problem}`")]
    Syntax {
        /// What the parser met, with line and column.
        problem: String,
    },
    /// JSON, but not an object.
    #[error("expected a JSON object, received another value")]
    NotAnObject,
}

/// Parses one JSON value with no key twice in any object and at most `max_depth` levels of nesting.
///
/// A scalar has depth 0 and `[]` depth 1. Keys such as `__proto__` are plain keys here (N20).
pub fn parse_strict(bytes: &[u8], max_depth: usize) -> Result<Value, JsonRefusal> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonRefusal::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonRefusal::NotUtf8 { offset: error.valid_up_to() })?;
    let refusal = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_str(text);
    let strict = Strict { left: max_depth, limit: max_depth, refusal: &refusal };
    let parsed = strict.deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    parsed.map_err(|error| {
        let problem = excerpt(&error.to_string());
        refusal.take().unwrap_or(JsonRefusal::Syntax { problem })
    })
}

/// As [`parse_strict`], of at most `max_bytes` bytes, and the value must be an object.
pub fn parse_object(
    bytes: &[u8],
    max_bytes: usize,
    max_depth: usize,
) -> Result<Map<String, Value>, JsonRefusal> {
    if bytes.len() > max_bytes {
        return Err(JsonRefusal::TooLong { limit: max_bytes, length: bytes.len() });
    }
    match parse_strict(bytes, max_depth)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonRefusal::NotAnObject),
    }
}

/// Builds a `Value`, keeping the typed reason aside when it stops the parser.
#[derive(Clone, Copy)]
struct Strict<'r> {
    left: usize,
    limit: usize,
    refusal: &'r Cell<Option<JsonRefusal>>,
}

impl Strict<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.stop(JsonRefusal::TooDeep { limit: self.limit })),
        }
    }

    fn stop<E: de::Error>(self, refusal: JsonRefusal) -> E {
        self.refusal.set(Some(refusal));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut seen = btree_map::BTreeMap::new();
        while let Some(key) = members.next_key::<String>()? {
            match seen.entry(key) {
                btree_map::Entry::Occupied(twice) => {
                    return Err(self.stop(JsonRefusal::DuplicateKey { key: excerpt(twice.key()) }));
                }
                btree_map::Entry::Vacant(free) => free.insert(members.next_value_seed(inner)?),
            };
        }
        Ok(Value::Object(seen.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &[u8]) -> JsonRefusal {
        parse_strict(text, 32).unwrap_err()
    }

    /// Rows N01, N30.
    #[test]
    fn what_is_not_json_is_refused() {
        assert_eq!(refusal(b"\xef\xbb\xbf{}"), JsonRefusal::ByteOrderMark);
        assert_eq!(refusal(b"\xff\xfe{\0}\0"), JsonRefusal::NotUtf8 { offset: 0 });
        assert_eq!(refusal(b"[\"\xc3\x28\"]"), JsonRefusal::NotUtf8 { offset: 2 });
        for text in [
            "",
            "{",
            "{}x",
            "{} {}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1,}",
            "[1,]",
            "// c\n{}",
            "NaN",
            "1e999",
            "01",
            "+1",
            "\"\\ud800\"",
            "\"\u{1}\"",
            "{\"a\" 1}",
        ] {
            assert!(matches!(refusal(text.as_bytes()), JsonRefusal::Syntax { .. }), "{text}");
        }
    }

    /// Rows N02, N29. Rule N3.
    #[test]
    fn a_key_twice_is_refused_at_every_level() {
        let twice = |key: &str| JsonRefusal::DuplicateKey { key: key.to_owned() };
        assert_eq!(refusal(br#"{"a":1,"a":1}"#), twice("a"));
        assert_eq!(refusal(br#"{"a":1,"\u0061":2}"#), twice("a"));
        assert_eq!(refusal(br#"[{"x":[{"b":{},"b":{}}]}]"#), twice("b"));
    }

    /// Rows N03, N29.
    #[test]
    fn depth_is_bounded_before_the_stack_is() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse_strict(&nested(32), 32).is_ok());
        assert_eq!(refusal(&nested(33)), JsonRefusal::TooDeep { limit: 32 });
        assert_eq!(refusal(&vec![b'['; 10_000]), JsonRefusal::TooDeep { limit: 32 });
        assert_eq!(parse_strict(b"1", 0), Ok(1.into()));
    }

    /// Row N20.
    #[test]
    fn prototype_keys_are_plain_keys() {
        let value = parse_strict(br#"{"__proto__":{"x":1},"constructor":2}"#, 32).unwrap();
        assert_eq!(value["__proto__"]["x"], 1);
    }

    #[test]
    fn objects_are_bounded_and_nothing_else_is_taken_for_one() {
        assert_eq!(parse_object(b"[]", 10, 3), Err(JsonRefusal::NotAnObject));
        let refused = parse_object(b"{\"a\":1}", 6, 3);
        assert_eq!(refused, Err(JsonRefusal::TooLong { limit: 6, length: 7 }));
    }

    proptest! {
        #[test]
        fn accepted_values_are_those_the_lenient_parser_reads(text in r#"[\[\]{},:"a0-9 \\u.eE+-]{0,24}"#) {
            let lenient: Result<Value, _> = serde_json::from_str(&text);
            match parse_strict(text.as_bytes(), 32) {
                Ok(value) => prop_assert_eq!(value, lenient.unwrap()),
                Err(JsonRefusal::DuplicateKey { .. }) => {}
                Err(_) => prop_assert!(lenient.is_err()),
            }
        }
    }
}
