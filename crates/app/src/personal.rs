//! Personal data on its way in and out: checked and protected before a command is made, revealed on read.

use witan_domain::{OrganizationId, PersonId, Private};
use witan_vault::{Revealed, VaultError};

use crate::{App, Error};

/// A text of a person, checked: no control characters, not blank, not too long.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    pub fn required(field: &str, text: &'a str, chars_max: usize) -> Result<Self, Error> {
        let chars = text.chars().count();
        if text.trim().is_empty() {
            return Err(Error::invalid(field, format!("{field} is empty; expected 1 to {chars_max} characters")));
        }
        if chars > chars_max {
            return Err(Error::invalid(field, format!("{field} has {chars} characters; expected at most {chars_max}")));
        }
        if text.chars().any(|char| char.is_control() && char != '\n' && char != '\t') {
            return Err(Error::invalid(field, format!("{field} has a control character; expected text")));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl App {
    /// Encrypts one value under its person's key, which must exist.
    pub(crate) fn protect(
        &self,
        organization: OrganizationId,
        person: PersonId,
        stream: &str,
        field: &'static str,
        text: Text<'_>,
    ) -> Result<Private, Error> {
        let protected =
            self.parts.protect.time(|| self.vault.protect(organization, person, stream, field, text.as_str()));
        protected.map_err(|error| match error {
            VaultError::PersonErased(_) => Error::Rejected {
                code: "PERSON_ERASED",
                field: Some(in_api(field)),
                message: "This person's data was erased: nothing more can be recorded about them.".into(),
            },
            error => error.into(),
        })
    }

    /// What the value says; `None` when it is erased.
    pub fn reveal(
        &self,
        organization: OrganizationId,
        stream: &str,
        field: &str,
        private: &Private,
    ) -> Result<Option<String>, Error> {
        match self.vault.reveal(organization, stream, field, private)? {
            Revealed::Value(value) => Ok(Some(value)),
            Revealed::Erased => Ok(None),
        }
    }

    /// A stored payload with every private value in it revealed: `{ "value": …, "erased": … }` in its place.
    pub fn reveal_json(
        &self,
        organization: OrganizationId,
        stream: &str,
        field: &str,
        value: serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        use serde_json::Value;
        Ok(match value {
            Value::Object(object) if is_private(&object) => {
                let private: Private = serde_json::from_value(Value::Object(object)).map_err(Error::fault)?;
                let value = self.reveal(organization, stream, field, &private)?;
                serde_json::json!({ "person": private.person, "erased": value.is_none(), "value": value })
            }
            // Whom a grant is for, without the password's hash.
            Value::Object(object) if object.len() == 1 && object.contains_key("password") => "password".into(),
            Value::Object(object) => {
                let mut revealed = serde_json::Map::with_capacity(object.len());
                for (name, value) in object {
                    if SECRETS.contains(&name.as_str()) {
                        continue;
                    }
                    let inner = self.reveal_json(organization, stream, &name, value)?;
                    revealed.insert(name, inner);
                }
                Value::Object(revealed)
            }
            Value::Array(values) => {
                let revealed = values.into_iter().map(|value| self.reveal_json(organization, stream, field, value));
                Value::Array(revealed.collect::<Result<_, _>>()?)
            }
            plain => plain,
        })
    }
}

/// A stored field's name as the API has it: `display_name` is `displayName` there.
fn in_api(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

/// Members of stored payloads that no reader needs: hashes of secrets, which help only whoever wants to guess them.
const SECRETS: [&str; 4] = ["resume_secret_sha256", "secret_sha256", "secret_hash", "password"];

/// The shape of [`Private`] in JSON: exactly these two members.
fn is_private(object: &serde_json::Map<String, serde_json::Value>) -> bool {
    object.len() == 2 && object.contains_key("person") && object.contains_key("ciphertext")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_the_api_names_them() {
        assert_eq!(["display_name", "text", "tax_id"].map(in_api), ["displayName", "text", "taxId"]);
    }
}
