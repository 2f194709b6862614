//! Users and their API keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::{
    ApiKeyId, OrganizationId, PersonId, UserId,
    api_key::{ApiKey, ApiKeyEvent, ApiKeyState},
    event::Event,
    user::{User, UserEvent, UserState},
};
use witan_event_store::Recorded;

use crate::{
    Batch, Database, Key, Lines, Listed, Page, Projection, ProjectionError, ReadModels, Row, Table, models::stream_of,
    row::fold,
};

const USERS: &str = "users";
const USERS_BY_CREATION: &str = "users_by_creation";
const USERS_BY_PERSON: &str = "users_by_person";
const API_KEYS: &str = "api_keys";
const API_KEYS_BY_CREATION: &str = "api_keys_by_creation";
const API_KEYS_BY_PREFIX: &str = "api_keys_by_prefix";

pub(crate) const TABLES: &[&str] =
    &[USERS, USERS_BY_CREATION, USERS_BY_PERSON, API_KEYS, API_KEYS_BY_CREATION, API_KEYS_BY_PREFIX];

pub type UserRow = Row<UserState>;
pub type ApiKeyRow = Row<ApiKeyState>;

pub struct Users {
    rows: Table<UserRow>,
    by_creation: Lines<UserId>,
    by_person: Lines<UserId>,
}

impl Users {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), USERS),
            by_creation: Lines::new(Arc::clone(db), USERS_BY_CREATION),
            by_person: Lines::new(Arc::clone(db), USERS_BY_PERSON),
        }
    }
}

impl Projection for Users {
    fn name(&self) -> &'static str {
        USERS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[USERS, USERS_BY_CREATION, USERS_BY_PERSON]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::User(event) = event else { return Ok(()) };
        let (organization, user) = stream_of::<UserId>(recorded)?;
        fold::<User>(&mut self.rows, &Key::of(organization).id(user.0), event, recorded)?;
        if let UserEvent::UserCreated(created) = event {
            self.by_creation.put(Key::of(organization).number(recorded.position.0), &user)?;
            self.by_person.put(Key::of(organization).id(created.person.0).id(user.0), &user)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_creation.write(batch)?;
        self.by_person.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_creation.reset();
        self.by_person.reset();
    }
}

/// Where a key is, for whoever has only its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlace {
    pub organization: OrganizationId,
    pub key: ApiKeyId,
}

pub struct ApiKeys {
    rows: Table<ApiKeyRow>,
    by_creation: Lines<ApiKeyId>,
    by_prefix: Table<KeyPlace>,
}

impl ApiKeys {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), API_KEYS),
            by_creation: Lines::new(Arc::clone(db), API_KEYS_BY_CREATION),
            by_prefix: Table::new(Arc::clone(db), API_KEYS_BY_PREFIX),
        }
    }
}

impl Projection for ApiKeys {
    fn name(&self) -> &'static str {
        API_KEYS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[API_KEYS, API_KEYS_BY_CREATION, API_KEYS_BY_PREFIX]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::ApiKey(event) = event else { return Ok(()) };
        let (organization, key) = stream_of::<ApiKeyId>(recorded)?;
        fold::<ApiKey>(&mut self.rows, &Key::of(organization).id(key.0), event, recorded)?;
        if let ApiKeyEvent::ApiKeyCreated(created) = event {
            self.by_creation.put(Key::of(organization).number(recorded.position.0), &key)?;
            let prefix = prefix_key(&created.prefix);
            // Two keys may begin alike, even of two tenants: the first stays, nobody can take its place.
            if self.by_prefix.find(&prefix)?.is_none() {
                self.by_prefix.put(prefix, KeyPlace { organization, key });
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_creation.write(batch)?;
        self.by_prefix.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_creation.reset();
        self.by_prefix.reset();
    }
}

/// The one key that names no tenant: whoever presents an API key has not said whose it is, and the row says only that.
fn prefix_key(prefix: &str) -> Key {
    Key::nothing().raw(prefix.as_bytes())
}

impl ReadModels {
    pub fn find_user(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Arc<UserRow>>, ProjectionError> {
        self.rows(USERS).find(Key::of(organization).id(user.0))
    }

    pub fn list_users(
        &self,
        organization: OrganizationId,
        page: &Page,
    ) -> Result<Listed<Arc<UserRow>>, ProjectionError> {
        self.list(USERS_BY_CREATION, &Key::of(organization), page, |user: UserId| self.find_user(organization, user))
    }

    /// The accounts of a person.
    pub fn users_of(
        &self,
        organization: OrganizationId,
        person: PersonId,
    ) -> Result<Vec<Arc<UserRow>>, ProjectionError> {
        let page = Page { rows_max: crate::PAGE_ROWS_MAX, ..Page::default() };
        let listed = self.list(USERS_BY_PERSON, &Key::of(organization).id(person.0), &page, |user: UserId| {
            self.find_user(organization, user)
        })?;
        Ok(listed.rows.into_iter().map(|(_, row)| row).collect())
    }

    pub fn find_api_key(
        &self,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<Option<Arc<ApiKeyRow>>, ProjectionError> {
        self.rows(API_KEYS).find(Key::of(organization).id(key.0))
    }

    pub fn list_api_keys(
        &self,
        organization: OrganizationId,
        page: &Page,
    ) -> Result<Listed<Arc<ApiKeyRow>>, ProjectionError> {
        let prefix = Key::of(organization);
        self.list(API_KEYS_BY_CREATION, &prefix, page, |key: ApiKeyId| self.find_api_key(organization, key))
    }

    /// The API keys that act as a user: found among all of the organization's, which are few.
    pub fn keys_of(&self, organization: OrganizationId, user: UserId) -> Result<Vec<ApiKeyId>, ProjectionError> {
        let mut page = Page { rows_max: crate::PAGE_ROWS_MAX, ..Page::default() };
        let mut keys = Vec::new();
        loop {
            let listed = self.list_api_keys(organization, &page)?;
            let facts = listed.rows.iter().filter_map(|(_, row)| row.state.facts().ok());
            keys.extend(facts.filter(|facts| facts.user == user).map(|facts| facts.key));
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                Some(_) | None => return Ok(keys),
            }
        }
    }

    /// The key with this prefix, whoever's it is: for authentication alone.
    pub fn find_api_key_by_prefix(
        &self,
        prefix: &str,
    ) -> Result<Option<(OrganizationId, Arc<ApiKeyRow>)>, ProjectionError> {
        let Some(place) = self.rows(API_KEYS_BY_PREFIX).find::<KeyPlace>(prefix_key(prefix))? else { return Ok(None) };
        Ok(self.find_api_key(place.organization, place.key)?.map(|row| (place.organization, row)))
    }
}
