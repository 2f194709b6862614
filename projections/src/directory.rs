//! What auth and `app` ask of the read models: accounts, units, rooms, API keys, and what ties things together.

use std::time::Duration;

use async_trait::async_trait;
use witan_auth::{Account, ApiKeyRecord, Directory, DirectoryError, HeldRole, RoomAccess, Scopes};
use witan_domain::{
    AccountRole, OrganizationId, PersonId, RoleScope, RoomId, UnitId, UserId,
    api_key::{ApiKeyFacts, ApiKeyState, ApiKeyStatus},
};
use witan_event_store::Position;

use crate::{PAGE_ROWS_MAX, Page, ProjectionError, ReadModels, sessions::SessionList};

/// How long a question waits for the newest grant to be known here before it is answered with no.
pub const GRANT_SECONDS_MAX: u64 = 2;

impl From<ProjectionError> for DirectoryError {
    fn from(error: ProjectionError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl Directory for ReadModels {
    async fn wait_for(&self, position: u64) -> bool {
        self.wait_for(Position(position), Duration::from_secs(GRANT_SECONDS_MAX)).await
    }

    fn account(&self, organization: OrganizationId, user: UserId) -> Result<Option<Account>, DirectoryError> {
        let Some(row) = self.find_user(organization, user)? else { return Ok(None) };
        let Ok(facts) = row.state.facts() else { return Ok(None) };
        let held = facts.roles.iter();
        let mut roles: Vec<HeldRole> =
            held.map(|(&(role, scope), &expires_at)| HeldRole { role, scope, expires_at }).collect();
        if self.owns(organization, user)? {
            roles.push(HeldRole { role: AccountRole::Owner, scope: RoleScope::Organization, expires_at: None });
        }
        Ok(Some(Account { active: row.state.is_active(), unit: facts.details.unit, roles }))
    }

    fn unit_path(&self, organization: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError> {
        let path = self.find_units(organization)?.map(|row| row.state.path(unit)).unwrap_or_default();
        Ok(Some(path).filter(|path| !path.is_empty()))
    }

    fn room(&self, organization: OrganizationId, room: RoomId) -> Result<Option<RoomAccess>, DirectoryError> {
        let Some(row) = self.find_room(organization, room)? else { return Ok(None) };
        let Ok(facts) = row.state.facts() else { return Ok(None) };
        let policies = self.room_policies(facts)?;
        Ok(Some(RoomAccess {
            unit: facts.unit,
            owner: Some(facts.details.owner),
            people: facts.people.clone(),
            open: policies.open,
            join: policies.join,
            list: policies.list,
        }))
    }

    fn api_key(&self, prefix: &str) -> Result<Option<ApiKeyRecord>, DirectoryError> {
        match self.find_api_key_by_prefix(prefix)?.as_ref().map(|(_, row)| &row.state) {
            Some(ApiKeyState::Present(facts)) => api_key_record(facts).map(Some),
            Some(ApiKeyState::Absent) | None => Ok(None),
        }
    }
}

/// A key whose scopes this version doesn't know is refused: without a scope that limits it, it might do more than it may.
fn api_key_record(facts: &ApiKeyFacts) -> Result<ApiKeyRecord, DirectoryError> {
    let scopes = Scopes::parse(facts.scopes.iter().map(String::as_str))
        .map_err(|_| DirectoryError(format!("{} has a scope that this version does not know", facts.key)))?;
    Ok(ApiKeyRecord {
        key: facts.key,
        organization: facts.organization,
        user: facts.user,
        sha256: facts.secret_sha256,
        scopes,
        expires: facts.expires_at,
        revoked: facts.status == ApiKeyStatus::Revoked,
        last_used_day: facts.last_used_day.map(u64::from),
    })
}

impl ReadModels {
    fn owns(&self, organization: OrganizationId, user: UserId) -> Result<bool, ProjectionError> {
        let row = self.find_organization(organization)?;
        Ok(row.is_some_and(|row| row.state.facts().is_ok_and(|facts| facts.owners.contains_key(&user))))
    }

    /// Whether a room that is right in this unit is not archived.
    pub fn has_living_rooms(&self, organization: OrganizationId, unit: UnitId) -> Result<bool, ProjectionError> {
        if self.has_hidden_rooms(organization, unit)? {
            return Ok(true);
        }
        let mut page = Page { rows_max: PAGE_ROWS_MAX, ..Page::default() };
        loop {
            let listed = self.list_rooms(organization, Some(unit), &page)?;
            if listed.rows.iter().any(|(_, row)| row.state.is_living()) {
                return Ok(true);
            }
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                Some(_) | None => return Ok(false),
            }
        }
    }

    /// What ties a person to the organization: whether an active account is theirs, and whether they are in a live
    /// session or at its door.
    pub fn person_ties(&self, organization: OrganizationId, person: PersonId) -> Result<(bool, bool), ProjectionError> {
        let active_user = self.users_of(organization, person)?.iter().any(|row| row.state.is_active());
        Ok((active_user, self.is_in_live_session(organization, person)?))
    }

    fn is_in_live_session(&self, organization: OrganizationId, person: PersonId) -> Result<bool, ProjectionError> {
        let mut page = Page { rows_max: PAGE_ROWS_MAX, backward: true, after: None };
        loop {
            let listed = self.list_sessions(organization, SessionList::OfPerson(person), &page)?;
            let is_there =
                listed.rows.iter().filter_map(|(_, row)| row.state.live()).any(|live| {
                    live.participants.iter().any(|there| there.person == person && !there.state.is_final())
                });
            if is_there {
                return Ok(true);
            }
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                Some(_) | None => return Ok(false),
            }
        }
    }
}
