//! JSON read strictly: UTF-8, one value, no duplicate keys, bounded depth, every error with its place.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use errors::{ApiError, ErrorCode, FieldError};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Deepest nesting.
const MAX_DEPTH: usize = contracts::convert::MAX_DEPTH;

/// A JSON value. Integers are exact; other numbers are IEEE 754 doubles.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// Written without fraction and exponent, within 64 bits.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, in the order sent.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value.
    ///
    /// # Errors
    /// `malformed_json`, with the place when the text is JSON but not JSON that we read.
    pub fn parse(text: &[u8]) -> Result<Self, ApiError> {
        let state = State::default();
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Seed {
            state: &state,
            depth: 0,
        }
        .deserialize(&mut reader);
        match value.and_then(|value| reader.end().map(|()| value)) {
            Ok(value) => Ok(value),
            Err(error) => {
                let fault = state.fault.take();
                let detail = fault
                    .as_ref()
                    .map_or_else(|| error.to_string(), |f| f.message.clone());
                let mut api = ApiError::new(ErrorCode::MalformedJson, detail);
                api.fields = fault.into_iter().collect();
                Err(api)
            }
        }
    }
}

/// Appends a key or an index to a JSON pointer.
pub fn pointer(base: &str, token: &str) -> String {
    format!("{base}/{}", token.replace('~', "~0").replace('/', "~1"))
}

#[derive(Default)]
struct State {
    path: RefCell<String>,
    fault: RefCell<Option<FieldError>>,
}

#[derive(Clone, Copy)]
struct Seed<'s> {
    state: &'s State,
    depth: usize,
}

impl Seed<'_> {
    fn fail<E: serde::de::Error>(&self, token: Option<&str>, code: &str, message: &str) -> E {
        let base = self.state.path.borrow();
        let at = token.map_or_else(|| base.clone(), |token| pointer(&base, token));
        *self.state.fault.borrow_mut() = Some(FieldError::new(at, code, message));
        E::custom(message)
    }

    /// Goes down one level: the path grows by `token` while `read` runs.
    fn below<T, E: serde::de::Error>(
        &self,
        token: &str,
        read: impl FnOnce(Seed<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let length = self.state.path.borrow().len();
        let longer = pointer(&self.state.path.borrow(), token);
        *self.state.path.borrow_mut() = longer;
        let value = read(Seed {
            state: self.state,
            depth: self.depth + 1,
        });
        self.state.path.borrow_mut().truncate(length);
        value
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.fail(None, "too_deep", "JSON may be nested 32 levels deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        self.check_depth()?;
        let mut list = Vec::new();
        while let Some(item) = self.below(&list.len().to_string(), |below| items.next_element_seed(below))? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        self.check_depth()?;
        let (mut object, mut seen) = (Vec::new(), HashSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(self.fail(Some(&key), "duplicate_key", "the key stands twice in one object"));
            }
            let value = self.below(&key, |below| entries.next_value_seed(below))?;
            object.push((key, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (String, String) {
        let error = Json::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code, ErrorCode::MalformedJson);
        error
            .fields
            .first()
            .map(|f| (f.code.clone(), f.pointer.clone()))
            .unwrap_or_default()
    }

    #[test]
    fn faults_are_named_with_their_place() {
        assert_eq!(fault(r#"{"a":1,"a":2}"#), ("duplicate_key".into(), "/a".into()));
        assert_eq!(
            fault(r#"{"x":[{"a/b":1,"a/b":2}]}"#),
            ("duplicate_key".into(), "/x/0/a~1b".into())
        );
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        assert_eq!(fault(&deep).0, "too_deep");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let endless = "[".repeat(100_000);
        for bad in [
            "",
            " ",
            "{",
            "{}x",
            "{} {}",
            "\u{feff}{}",
            "{'a':1}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":1e400}",
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1,}",
            "nul",
            &endless,
        ] {
            fault(bad);
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn numbers_are_kept_as_written() {
        let read = Json::parse(b"[18446744073709551615,-9223372036854775808,1.5,1e2,-0]").unwrap();
        let Json::List(items) = read else { panic!() };
        assert_eq!(items[0], Json::Int(u64::MAX.into()));
        assert_eq!(items[1], Json::Int(i64::MIN.into()));
        assert_eq!(items[2], Json::Float(1.5));
        assert_eq!(items[3], Json::Float(100.0));
    }
}
