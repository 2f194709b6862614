//! What the directory says of an actor and a resource: looked up at each request, and never remembered.

use std::collections::BTreeSet;

use witan_domain::{AccountRole, Actor, OrganizationId, RoleScope, Timestamp, UnitId, UserId, policy::Listing};

use crate::{Account, Directory, DirectoryError, Resource, ResourceKind, RoomAccess, Scopes};

/// Why facts are missing.
pub(crate) enum Unknown {
    /// There is no such account, unit or room here.
    Nothing,
    Directory(DirectoryError),
}

impl From<DirectoryError> for Unknown {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// What the directory says of this actor and this resource.
#[derive(Default, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) active: bool,
    pub(crate) roles: BTreeSet<AccountRole>,
    pub(crate) roles_above: BTreeSet<AccountRole>,
    pub(crate) roles_anywhere: BTreeSet<AccountRole>,
    pub(crate) rank: i64,
    pub(crate) own: bool,
    pub(crate) owned: bool,
    pub(crate) named: bool,
    pub(crate) opens: bool,
    pub(crate) joins: bool,
    pub(crate) listed: Option<Listing>,
    pub(crate) wider: bool,
}

impl Facts {
    pub(crate) fn gather(
        actor: &Actor,
        scopes: Option<&Scopes>,
        resource: &Resource,
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Result<Self, Unknown> {
        let mut facts = Self::default();
        let (user, account) = match actor {
            Actor::User { organization, user, .. } => {
                (Some(*user), Some(directory.account(*organization, *user)?.ok_or(Unknown::Nothing)?))
            }
            Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => (None, None),
        };
        // Elsewhere the actor is nobody: no role holds and no policy is for them.
        let user = user.filter(|_| resource.organization.is_some() && actor.organization() == resource.organization);
        let mut unit = resource.unit;
        if let (Some(organization), Some(room)) = (resource.organization, resource.room)
            && let Some(access) = directory.room(organization, room)?
        {
            let home = account.as_ref().and_then(|account| account.unit).filter(|_| user.is_some());
            let home = home.map(|home| directory.unit_path(organization, home)).transpose()?.flatten();
            facts.gather_room(&access, user, &home.unwrap_or_default());
            unit = unit.or(Some(access.unit));
        }
        if let Some(account) = &account {
            facts.active = account.active;
            if user.is_some() {
                facts.gather_roles(account, resource.organization.zip(unit), directory, now)?;
            }
        }
        facts.owned |= resource.own && resource.kind == ResourceKind::Room;
        let about_user = matches!(resource.kind, ResourceKind::User | ResourceKind::ApiKey);
        facts.own = resource.own || (about_user && user.is_some() && user == resource.user);
        facts.rank = match (resource.organization, resource.user) {
            // A user who is not there yet has no roles either.
            (Some(organization), Some(user)) => {
                directory.account(organization, user)?.map_or(0, |account| rank(&account, now))
            }
            // Whoever doesn't say whom it is about gets no further than with an owner.
            _ => RANK_MAX,
        };
        facts.wider = match (scopes, &resource.scopes) {
            (Some(own), Some(wanted)) => !wanted.within(own),
            (Some(own), None) => !Scopes::default().within(own),
            (None, _) => false,
        };
        Ok(facts)
    }

    fn gather_roles(
        &mut self,
        account: &Account,
        place: Option<(OrganizationId, UnitId)>,
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Result<(), Unknown> {
        let scoped = account.roles.iter().any(|held| held.scope != RoleScope::Organization);
        let path = match place.filter(|_| scoped) {
            Some((organization, unit)) => directory.unit_path(organization, unit)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let above = path.split_last().map_or(path.as_slice(), |(_, above)| above);
        for held in account.roles.iter().filter(|held| held.holds_at(now)) {
            self.roles_anywhere.insert(held.role);
            if held.covers(&path) {
                self.roles.insert(held.role);
            }
            if held.covers(above) {
                self.roles_above.insert(held.role);
            }
        }
        Ok(())
    }

    /// `home` is the path of the user's own unit.
    fn gather_room(&mut self, access: &RoomAccess, user: Option<UserId>, home: &[UnitId]) {
        self.owned = user.is_some() && access.owner == user;
        self.named = user.is_some_and(|user| access.people.contains_key(&user));
        self.opens = access.opens_to(user, home);
        self.joins = access.join_grant(user, home, false).is_some();
        self.listed = Some(access.list);
    }
}

const RANK_MAX: i64 = 3;

/// How much an account may do to others: 3 an owner, 2 with a role of administration, 1 with another role, 0 with none.
fn rank(account: &Account, now: Timestamp) -> i64 {
    let of = |role| match role {
        AccountRole::Owner => RANK_MAX,
        AccountRole::Admin
        | AccountRole::UnitAdmin
        | AccountRole::Auditor
        | AccountRole::PrivacyOfficer
        | AccountRole::Billing
        | AccountRole::Integrator => 2,
        AccountRole::Host | AccountRole::Member => 1,
    };
    account.roles.iter().filter(|held| held.holds_at(now)).map(|held| of(held.role)).max().unwrap_or(0)
}
