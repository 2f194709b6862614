//! The port to what is known of accounts, units, rooms and API keys. The read models implement it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use witan_domain::{
    AccountRole, ApiKeyId, OrganizationId, RoleScope, RoomId, SessionRole, Timestamp, UnitId, UserId,
    policy::{Grant, Listing, Who},
    text::SecretHash,
};

use crate::Scopes;

/// Something stored can't be read: whoever asked is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory can't be read: {0}")]
pub struct DirectoryError(pub String);

/// What auth needs to know. A removed grant must act within 5 s: before asking, wait for the position of the newest event
/// that changed what someone may do.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Waits until everything up to this position is known here, for a bounded time; `false`: it is not, so deny.
    async fn wait_for(&self, position: u64) -> bool;

    fn account(&self, organization: OrganizationId, user: UserId) -> Result<Option<Account>, DirectoryError>;

    /// The units from the root down to this one, which is the last.
    fn unit_path(&self, organization: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError>;

    fn room(&self, organization: OrganizationId, room: RoomId) -> Result<Option<RoomAccess>, DirectoryError>;

    /// The key whose text begins with `witan_` and this prefix.
    fn api_key(&self, prefix: &str) -> Result<Option<ApiKeyRecord>, DirectoryError>;
}

/// What an account may do, and whether it may come in at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub active: bool,
    /// The account's own unit.
    pub unit: Option<UnitId>,
    /// With `Owner` where the organization names the account as one.
    pub roles: Vec<HeldRole>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldRole {
    pub role: AccountRole,
    pub scope: RoleScope,
    pub expires_at: Option<Timestamp>,
}

impl HeldRole {
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether it holds in a unit with this path (empty: in the organization as a whole).
    pub fn covers(&self, unit_path: &[UnitId]) -> bool {
        match self.scope {
            RoleScope::Organization => true,
            RoleScope::Unit(unit) => unit_path.contains(&unit),
        }
    }
}

/// Who may do what with a room, with the policies in force there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomAccess {
    pub unit: UnitId,
    pub owner: Option<UserId>,
    pub people: BTreeMap<UserId, SessionRole>,
    pub open: Vec<Grant>,
    pub join: Vec<Grant>,
    pub list: Listing,
}

impl RoomAccess {
    /// Whether a grant of the open policy is for this user, whose own unit has this path.
    pub fn opens_to(&self, user: Option<UserId>, unit_path: &[UnitId]) -> bool {
        self.open.iter().any(|grant| self.is_for(&grant.who, user, unit_path, false))
    }

    /// The grant of the join policy by which someone may come in: one without the lobby where there is one. `user` is an
    /// active user of the organization, whose own unit has this path; `invited`: they showed an invitation to the room.
    pub fn join_grant(&self, user: Option<UserId>, unit_path: &[UnitId], invited: bool) -> Option<&Grant> {
        let grants = self.join.iter().filter(|grant| self.is_for(&grant.who, user, unit_path, invited));
        grants.min_by_key(|grant| grant.lobby)
    }

    fn is_for(&self, who: &Who, user: Option<UserId>, unit_path: &[UnitId], invited: bool) -> bool {
        match who {
            Who::OrganizationUsers => user.is_some(),
            Who::UnitUsers(units) => user.is_some() && unit_path.iter().any(|unit| units.contains(unit)),
            Who::NamedPeople => user.is_some_and(|user| self.people.contains_key(&user)),
            Who::Invitation => invited,
            // Checked where the password is given, which makes a `grant` of the resource.
            Who::Password(_) => false,
            Who::Anyone => true,
        }
    }
}

/// What is stored of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    pub key: ApiKeyId,
    pub organization: OrganizationId,
    /// Whom it acts as.
    pub user: UserId,
    /// Of the whole text of the key.
    pub sha256: SecretHash,
    pub scopes: Scopes,
    pub expires: Option<Timestamp>,
    pub revoked: bool,
    /// Days since 1970-01-01 (UTC).
    pub last_used_day: Option<u64>,
}
