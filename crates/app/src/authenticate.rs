//! Who is this? From a credential (an API key, or a participant's resume secret) to an actor.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use witan_auth::{ApiKeySecret, Scopes};
use witan_domain::{
    Actor, Aggregate, ApiKeyId, OrganizationId, Timestamp,
    api_key::{ApiKey, ApiKeyState, ApiKeyStatus},
};

use crate::{App, Error};

/// What a valid credential says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub actor: Actor,
    /// What the API key is limited to; `None` where no key limits.
    pub scopes: Option<Scopes>,
}

/// The keys whose use was recorded, by day: a bounded memory, refilled from the directory after a restart.
#[derive(Default)]
pub(crate) struct UsedToday {
    day: u64,
    keys: HashSet<ApiKeyId>,
}

pub(crate) type UsedKeys = Mutex<UsedToday>;

impl App {
    /// The actor of a credential; `None` when it is unknown, expired or revoked (which one isn't said).
    pub async fn authenticate(&self, credential: Option<&str>) -> Result<Option<Credentials>, Error> {
        let Some(credential) = credential else {
            return Ok(Some(Credentials { actor: Actor::Anonymous, scopes: None }));
        };
        if let Some(actor) = self.participant_by_resume_secret(credential).await? {
            return Ok(Some(Credentials { actor, scopes: None }));
        }
        self.by_api_key(credential).await
    }

    async fn by_api_key(&self, credential: &str) -> Result<Option<Credentials>, Error> {
        let Ok(secret) = ApiKeySecret::parse(credential) else { return Ok(None) };
        let now = self.sources.now();
        self.knows_newest_grants().await?;
        let Some(record) = self.directory.api_key(secret.prefix()).map_err(Error::fault)? else { return Ok(None) };
        if !secret.matches(&record) || record.revoked || record.expires.is_some_and(|expires| expires <= now) {
            return Ok(None);
        }
        if !self.is_active(record.organization, record.user)? {
            return Ok(None);
        }
        if record.last_used_day != Some(day(now)) {
            self.record_use_today(record.organization, record.key).await;
        }
        let actor = Actor::User { organization: record.organization, user: record.user, key: Some(record.key) };
        Ok(Some(Credentials { actor, scopes: Some(record.scopes) }))
    }

    /// What was taken away a moment ago must not be allowed.
    pub(crate) async fn knows_newest_grants(&self) -> Result<(), Error> {
        if self.directory.wait_for(self.newest_grant().0).await {
            return Ok(());
        }
        Err(Error::Unavailable("The server does not know its newest grants yet: try again.".into()))
    }

    /// Once a day; one that could not be recorded is tried again with the key's next use.
    async fn record_use_today(&self, organization: OrganizationId, key: ApiKeyId) {
        let day = day(self.sources.now());
        let used = || self.used_keys.lock().unwrap_or_else(PoisonError::into_inner);
        let first = {
            let mut used = used();
            if used.day != day {
                *used = UsedToday { day, keys: HashSet::new() };
            }
            used.keys.insert(key)
        };
        if first && !self.record_key_use(organization, key).await {
            used().keys.remove(&key);
        }
    }

    fn key_stands(&self, organization: OrganizationId, key: ApiKeyId) -> bool {
        let loaded = self.load_own::<ApiKey>(Some(organization), &ApiKey::stream(key));
        let now = self.sources.now();
        loaded.is_ok_and(|loaded| match &loaded.state {
            ApiKeyState::Absent => false,
            ApiKeyState::Present(facts) => {
                facts.status == ApiKeyStatus::Active && facts.expires_at.is_none_or(|expires| now < expires)
            }
        })
    }

    /// Whether an open connection's credential still stands. An API key is in use on each day of the connection.
    pub async fn still_stands(&self, credentials: &Credentials) -> bool {
        match &credentials.actor {
            Actor::User { organization, user, key } => {
                // As for a decision: what the directory says without the newest grant may have been taken away.
                let stands = self.knows_newest_grants().await.is_ok()
                    && self.is_active(*organization, *user).unwrap_or(false)
                    && key.is_none_or(|key| self.key_stands(*organization, key));
                if let (true, Some(key)) = (stands, *key) {
                    self.record_use_today(*organization, key).await;
                }
                stands
            }
            Actor::Participant { organization, session, participant } => {
                let Ok(state) = self.session_state(*organization, *session) else { return false };
                match state.record().and_then(|record| record.participant(*participant)).map(|there| there.user) {
                    None => false,
                    Some(None) => true,
                    Some(Some(user)) => {
                        self.knows_newest_grants().await.is_ok() && self.is_active(*organization, user).unwrap_or(false)
                    }
                }
            }
            Actor::System | Actor::Operator | Actor::Anonymous => true,
        }
    }
}

fn day(now: Timestamp) -> u64 {
    now.micros() / 86_400_000_000
}
