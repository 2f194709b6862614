//! A key by which a program acts as a user. Only its hash is known; the key itself is shown once, when it is made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, ApiKeyId, OrganizationId, Timestamp, UserId,
    aggregate::Rejection,
    commands, events,
    text::{self, Invalid, SecretHash},
};

pub const SCOPES_MAX: usize = 50;
pub const SCOPE_BYTES_MAX: usize = 63;
pub const PREFIX_BYTES_MAX: usize = 32;

// Commands.

commands! {
    /// What one may ask of an API key.
    pub enum ApiKeyCommand {
        CreateApiKey,
        RevokeApiKey,
        UseApiKey,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateApiKey {
    pub organization: OrganizationId,
    pub key: ApiKeyId,
    /// Whom the key acts as.
    pub user: UserId,
    /// Whether that user is active.
    pub user_active: bool,
    /// What the key is called; says nothing of a person.
    pub name: String,
    /// How the key begins: by this it is looked up and told apart.
    pub prefix: String,
    pub secret_sha256: SecretHash,
    /// What the key may do of what its user may; empty for all of it.
    pub scopes: BTreeSet<String>,
    pub expires_at: Option<Timestamp>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeApiKey {}

/// Notes that the key was used today: recorded once a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseApiKey {
    pub now: Timestamp,
}

// Events.

/// A key was made, by which a program acts as the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    pub organization: OrganizationId,
    pub key: ApiKeyId,
    pub user: UserId,
    pub name: String,
    pub prefix: String,
    pub secret_sha256: SecretHash,
    pub scopes: BTreeSet<String>,
    pub expires_at: Option<Timestamp>,
}

/// The key is good for nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {}

/// The key was used on this day: one event a day, at its first use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyUsed {
    /// Days since 1970-01-01 (UTC).
    pub day: u32,
}

events! {
    /// What happens to an API key.
    pub enum ApiKeyEvent of "api-key" {
        ApiKeyCreated,
        ApiKeyRevoked,
        ApiKeyUsed,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyRejection {
    #[error("there is no such API key in this organization")]
    ApiKeyNotFound,
    #[error("this API key exists already")]
    ApiKeyAlreadyExists,
    #[error("the API key is revoked")]
    ApiKeyRevoked,
    #[error("the API key is expired")]
    ApiKeyExpired,
    #[error("an API key acts as an active user of the organization")]
    UserNotActive,
    #[error("the expiry is not in the future")]
    ExpiryPassed,
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Rejection for ApiKeyRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::ApiKeyNotFound => "API_KEY_NOT_FOUND",
            Self::ApiKeyAlreadyExists => "API_KEY_ALREADY_EXISTS",
            Self::ApiKeyRevoked => "API_KEY_REVOKED",
            Self::ApiKeyExpired => "API_KEY_EXPIRED",
            Self::UserNotActive => "USER_NOT_ACTIVE",
            Self::ExpiryPassed => "EXPIRY_PASSED",
            Self::Invalid(invalid) => invalid.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::ApiKeyNotFound | Self::ApiKeyRevoked | Self::ApiKeyExpired => Some("apiKeyId"),
            Self::UserNotActive => Some("userId"),
            Self::ExpiryPassed => Some("expiresAt"),
            Self::ApiKeyAlreadyExists => None,
            Self::Invalid(invalid) => invalid.field(),
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiKeyState {
    #[default]
    Absent,
    Present(Box<ApiKeyFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyFacts {
    pub organization: OrganizationId,
    pub key: ApiKeyId,
    pub user: UserId,
    pub name: String,
    pub prefix: String,
    pub secret_sha256: SecretHash,
    pub scopes: BTreeSet<String>,
    pub expires_at: Option<Timestamp>,
    pub last_used_day: Option<u32>,
    pub status: ApiKeyStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyStatus {
    /// Good until it expires.
    Active,
    Revoked,
}

impl ApiKeyState {
    pub fn facts(&self) -> Result<&ApiKeyFacts, ApiKeyRejection> {
        match self {
            Self::Absent => Err(ApiKeyRejection::ApiKeyNotFound),
            Self::Present(facts) => Ok(facts),
        }
    }

    /// The key, if it is neither revoked nor expired at this moment.
    pub fn good_at(&self, now: Timestamp) -> Result<&ApiKeyFacts, ApiKeyRejection> {
        let facts = self.facts()?;
        if facts.status == ApiKeyStatus::Revoked {
            return Err(ApiKeyRejection::ApiKeyRevoked);
        }
        if facts.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(ApiKeyRejection::ApiKeyExpired);
        }
        Ok(facts)
    }
}

/// The decider.
pub struct ApiKey;

impl Aggregate for ApiKey {
    type Id = ApiKeyId;
    type Command = ApiKeyCommand;
    type Event = ApiKeyEvent;
    type Rejection = ApiKeyRejection;
    type State = ApiKeyState;
    const CATEGORY: &'static str = "api-key";

    fn decide(state: &ApiKeyState, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, ApiKeyRejection> {
        match command {
            ApiKeyCommand::CreateApiKey(create) => decide_create(state, create),
            ApiKeyCommand::RevokeApiKey(_) => match state.facts()?.status {
                ApiKeyStatus::Active => Ok(vec![ApiKeyRevoked {}.into()]),
                ApiKeyStatus::Revoked => Ok(Vec::new()),
            },
            ApiKeyCommand::UseApiKey(used) => {
                let facts = state.good_at(used.now)?;
                let day = day_of(used.now);
                // Clocks of two requests may stand on both sides of midnight: the later day stays.
                if facts.last_used_day.is_some_and(|last| day <= last) {
                    return Ok(Vec::new());
                }
                Ok(vec![ApiKeyUsed { day }.into()])
            }
        }
    }

    fn evolve(state: ApiKeyState, event: &ApiKeyEvent, _: Timestamp) -> ApiKeyState {
        match (event, state) {
            (ApiKeyEvent::ApiKeyCreated(created), _) => ApiKeyState::Present(Box::new(ApiKeyFacts {
                organization: created.organization,
                key: created.key,
                user: created.user,
                name: created.name.clone(),
                prefix: created.prefix.clone(),
                secret_sha256: created.secret_sha256,
                scopes: created.scopes.clone(),
                expires_at: created.expires_at,
                last_used_day: None,
                status: ApiKeyStatus::Active,
            })),
            (ApiKeyEvent::ApiKeyRevoked(_), ApiKeyState::Present(mut facts)) => {
                facts.status = ApiKeyStatus::Revoked;
                ApiKeyState::Present(facts)
            }
            (ApiKeyEvent::ApiKeyUsed(used), ApiKeyState::Present(mut facts)) => {
                facts.last_used_day = Some(used.day);
                ApiKeyState::Present(facts)
            }
            (ApiKeyEvent::ApiKeyRevoked(_) | ApiKeyEvent::ApiKeyUsed(_), ApiKeyState::Absent) => ApiKeyState::Absent,
        }
    }
}

/// The day of a moment, counted from 1970-01-01 (UTC).
pub fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.seconds_since(Timestamp(0)) / 86_400).unwrap_or(u32::MAX)
}

fn decide_create(state: &ApiKeyState, create: &CreateApiKey) -> Result<Vec<ApiKeyEvent>, ApiKeyRejection> {
    if let ApiKeyState::Present(facts) = state {
        let same = facts.secret_sha256 == create.secret_sha256
            && (facts.user, &facts.name, &facts.scopes) == (create.user, &create.name, &create.scopes)
            && (&facts.prefix, facts.expires_at) == (&create.prefix, create.expires_at);
        return if same { Ok(Vec::new()) } else { Err(ApiKeyRejection::ApiKeyAlreadyExists) };
    }
    text::name("name", &create.name)?;
    let graphic = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(1..=PREFIX_BYTES_MAX).contains(&create.prefix.len()) || !create.prefix.bytes().all(graphic) {
        let expected = format!("1 to {PREFIX_BYTES_MAX} letters, digits and '_'");
        return Err(Invalid::new("prefix", "is not a prefix", expected).into());
    }
    scopes_valid(&create.scopes)?;
    if !create.user_active {
        return Err(ApiKeyRejection::UserNotActive);
    }
    if create.expires_at.is_some_and(|expires_at| expires_at <= create.now) {
        return Err(ApiKeyRejection::ExpiryPassed);
    }
    let created = ApiKeyCreated {
        organization: create.organization,
        key: create.key,
        user: create.user,
        name: create.name.clone(),
        prefix: create.prefix.clone(),
        secret_sha256: create.secret_sha256,
        scopes: create.scopes.clone(),
        expires_at: create.expires_at,
    };
    Ok(vec![created.into()])
}

/// Which scopes there are is auth's; here only their form.
fn scopes_valid(scopes: &BTreeSet<String>) -> Result<(), Invalid> {
    if scopes.len() > SCOPES_MAX {
        return Err(Invalid::new("scopes", format!("are {}", scopes.len()), format!("at most {SCOPES_MAX}")));
    }
    let shaped = |scope: &String| {
        (1..=SCOPE_BYTES_MAX).contains(&scope.len())
            && scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte))
    };
    if scopes.iter().all(shaped) {
        return Ok(());
    }
    let expected = format!("each 1 to {SCOPE_BYTES_MAX} letters, digits, '_', '-', ':' and '.'");
    Err(Invalid::new("scopes", "hold one that is none", expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(86_400 * 20_000);
    const LATER: Timestamp = NOW.plus_seconds(86_400);

    fn creating(change: impl FnOnce(&mut CreateApiKey)) -> ApiKeyCommand {
        let mut create = CreateApiKey {
            organization: OrganizationId(1),
            key: ApiKeyId(2),
            user: UserId(3),
            user_active: true,
            name: "Practice software".into(),
            prefix: "wk_0a1b2c3d".into(),
            secret_sha256: SecretHash([7; 32]),
            scopes: ["rooms:read".to_owned()].into(),
            expires_at: Some(LATER),
            now: NOW,
        };
        change(&mut create);
        ApiKeyCommand::CreateApiKey(create)
    }

    fn used(now: Timestamp) -> ApiKeyCommand {
        ApiKeyCommand::UseApiKey(UseApiKey { now })
    }

    /// The state after these commands, each of which must be accepted.
    fn given(commands: &[ApiKeyCommand]) -> ApiKeyState {
        commands.iter().fold(ApiKeyState::default(), |state, command| {
            let events = ApiKey::decide(&state, command).unwrap();
            events.iter().fold(state, |state, event| ApiKey::evolve(state, event, Timestamp(1)))
        })
    }

    #[test]
    fn create_api_key() {
        let state = given(&[creating(|_| {})]);
        assert_eq!(ApiKey::decide(&state, &creating(|_| {})), Ok(vec![]));
        let other = creating(|create| create.name = "Other".into());
        assert_eq!(ApiKey::decide(&state, &other), Err(ApiKeyRejection::ApiKeyAlreadyExists));
        let refused = |change: fn(&mut CreateApiKey)| {
            ApiKey::decide(&ApiKeyState::Absent, &creating(change)).expect_err("refused")
        };
        assert_eq!(refused(|create| create.user_active = false), ApiKeyRejection::UserNotActive);
        assert_eq!(refused(|create| create.expires_at = Some(NOW)), ApiKeyRejection::ExpiryPassed);
        assert_eq!(refused(|create| create.prefix = "a-b".into()).field(), Some("prefix"));
        assert_eq!(refused(|create| create.scopes = ["*".to_owned()].into()).field(), Some("scopes"));
    }

    #[test]
    fn revoke_api_key() {
        let state = given(&[creating(|_| {}), ApiKeyCommand::RevokeApiKey(RevokeApiKey {})]);
        assert_eq!(ApiKey::decide(&state, &ApiKeyCommand::RevokeApiKey(RevokeApiKey {})), Ok(vec![]));
        assert_eq!(state.good_at(NOW), Err(ApiKeyRejection::ApiKeyRevoked));
        assert_eq!(ApiKey::decide(&state, &used(NOW)), Err(ApiKeyRejection::ApiKeyRevoked));
    }

    #[test]
    fn use_api_key() {
        let state = given(&[creating(|create| create.expires_at = None), used(NOW)]);
        assert_eq!(state.facts().unwrap().last_used_day, Some(20_000));
        assert_eq!(ApiKey::decide(&state, &used(NOW.plus_seconds(86_399))), Ok(vec![]));
        assert_eq!(ApiKey::decide(&state, &used(LATER)), Ok(vec![ApiKeyUsed { day: 20_001 }.into()]));
        let expiring = given(&[creating(|_| {})]);
        assert!(expiring.good_at(Timestamp(LATER.0 - 1)).is_ok());
        assert_eq!(ApiKey::decide(&expiring, &used(LATER)), Err(ApiKeyRejection::ApiKeyExpired));
    }

    #[test]
    fn golden_files() {
        let ApiKeyCommand::CreateApiKey(create) = creating(|_| {}) else { unreachable!("made above") };
        let created = ApiKey::decide(&ApiKeyState::Absent, &ApiKeyCommand::CreateApiKey(create)).unwrap().remove(0);
        crate::golden::check::<ApiKey>(&[created, super::ApiKeyRevoked {}.into(), ApiKeyUsed { day: 20_000 }.into()]);
    }
}
