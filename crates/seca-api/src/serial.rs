//! Lenient reading: what clients and servers leave empty, and what Go writes for it.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// Reads null, an empty text and a reference to an empty text as the default.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    let unset = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.get("resource").is_some_and(|resource| resource == ""),
        _ => false,
    };
    if unset { Ok(T::default()) } else { T::deserialize(value).map_err(serde::de::Error::custom) }
}

/// Reads a status code, which Go writes as a float.
pub(crate) fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let code = value.as_f64().filter(|code| (0.0..1000.0).contains(code)).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    Ok(code as u16)
}

/// For `skip_serializing_if`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
