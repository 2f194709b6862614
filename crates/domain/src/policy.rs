//! Who may open a room, who may enter it, who sees it listed: lists of grants, inherited like settings, bounded by floors.
//!
//! The nearest level that sets a policy decides it. A level may also set a *floor*: what it says is the most that this
//! level and the levels below it may allow. Whatever is set, the effective policy is cut down to every floor above it.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    SessionRole, UnitId,
    aggregate::Rejection,
    settings::{Purpose, Source},
    text::Invalid,
};

pub const GRANTS_MAX: usize = 20;
pub const GRANT_UNITS_MAX: usize = 100;
pub const PASSWORD_HASH_BYTES_MAX: usize = 200;

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Every active user of the organization.
    OrganizationUsers,
    /// Every active user of one of these units or of a unit below them.
    UnitUsers(BTreeSet<UnitId>),
    /// The people that the room names.
    NamedPeople,
    /// Whoever has an invitation to the room.
    Invitation,
    /// Whoever knows the password.
    Password(PasswordHash),
    Anyone,
}

/// The argon2id hash of a password, in PHC string form, made with a secret of the deployment: without that it can't even be
/// guessed at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a password's hash")
    }
}

/// One reason to let someone in. Any one grant of a list suffices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    pub who: Who,
    /// Whether they wait in the lobby until a host admits them. Only in a join policy.
    #[serde(default)]
    pub lobby: bool,
}

impl Grant {
    /// A grant that leads straight in.
    pub const fn to(who: Who) -> Self {
        Self { who, lobby: false }
    }

    /// A grant that leads into the lobby.
    pub const fn by_lobby(who: Who) -> Self {
        Self { who, lobby: true }
    }
}

/// Who sees a room listed; the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Those who host in it, are named or invited.
    Private,
    /// The organization's users too.
    Organization,
    /// Those who take part in a session of the organization, too.
    Public,
}

/// What a level says of the three policies, or what its floor says of them. All fields are always written, since read
/// models keep it in a format without names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    #[serde(default)]
    pub open: Option<Vec<Grant>>,
    #[serde(default)]
    pub join: Option<Vec<Grant>>,
    #[serde(default)]
    pub list: Option<Listing>,
}

/// The policies of an organization, a unit or a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLevel {
    /// What holds here and below, unless a level below sets it otherwise.
    pub set: Rules,
    /// The most that this level and those below may allow.
    pub floor: Rules,
}

/// Why a level can't have these policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRejection {
    #[error("the {field} policy allows more than a floor at or above this level does")]
    PolicyLooserThanFloor { field: &'static str },
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Rejection for PolicyRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::PolicyLooserThanFloor { .. } => "POLICY_LOOSER_THAN_FLOOR",
            Self::Invalid(invalid) => invalid.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::PolicyLooserThanFloor { field } => Some(field),
            Self::Invalid(invalid) => invalid.field(),
        }
    }
}

impl Rules {
    fn validate(&self) -> Result<(), Invalid> {
        grants_valid("open", self.open.as_deref().unwrap_or_default())?;
        grants_valid("join", self.join.as_deref().unwrap_or_default())?;
        if self.open.iter().flatten().any(|grant| grant.lobby) {
            return Err(Invalid::new(
                "open",
                "has a grant with a lobby",
                "grants without: who opens a room waits for nobody",
            ));
        }
        Ok(())
    }

    /// What both allow. No rule allows everything.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self {
            open: meet_of(self.open.as_ref(), other.open.as_ref(), |a, b| meet(a, b)),
            join: meet_of(self.join.as_ref(), other.join.as_ref(), |a, b| meet(a, b)),
            list: meet_of(self.list.as_ref(), other.list.as_ref(), |a, b| *a.min(b)),
        }
    }

    /// Whether each rule here, where there is one, allows at most what the floor allows.
    fn within(&self, floor: &Self) -> Result<(), PolicyRejection> {
        let checks = [
            ("open", within(self.open.as_deref(), floor.open.as_deref(), stricter_or_equal)),
            ("join", within(self.join.as_deref(), floor.join.as_deref(), stricter_or_equal)),
            ("list", within(self.list.as_ref(), floor.list.as_ref(), |list, floor| list <= floor)),
        ];
        match checks.into_iter().find(|(_, within)| !within) {
            Some((field, _)) => Err(PolicyRejection::PolicyLooserThanFloor { field }),
            None => Ok(()),
        }
    }
}

fn meet_of<T: Clone>(a: Option<&T>, b: Option<&T>, meet: impl Fn(&T, &T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(meet(a, b)),
        (one, other) => one.or(other).cloned(),
    }
}

fn within<T: ?Sized>(rule: Option<&T>, floor: Option<&T>, check: impl Fn(&T, &T) -> bool) -> bool {
    rule.zip(floor).is_none_or(|(rule, floor)| check(rule, floor))
}

/// How many grants a list has, and how many of them are for a password: asked also before any password is hashed.
///
/// # Errors
/// Over [`GRANTS_MAX`], or a second password.
pub fn counts_valid(field: &'static str, grants: usize, passwords: usize) -> Result<(), Invalid> {
    if grants > GRANTS_MAX {
        return Err(Invalid::new(field, format!("has {grants} grants"), format!("at most {GRANTS_MAX}")));
    }
    // With two it could not be said which of them a change keeps, and a wrong one would cost twice.
    if passwords > 1 {
        return Err(Invalid::new(field, "has two grants for a password", "one at most"));
    }
    Ok(())
}

fn grants_valid(field: &'static str, grants: &[Grant]) -> Result<(), Invalid> {
    counts_valid(field, grants.len(), grants.iter().filter(|grant| grant.password().is_some()).count())?;
    let mut seen = BTreeSet::new();
    for grant in grants {
        if !seen.insert(&grant.who) {
            return Err(Invalid::new(field, "grants the same twice", "each kind of people once"));
        }
        match &grant.who {
            Who::UnitUsers(units) if units.is_empty() || units.len() > GRANT_UNITS_MAX => {
                let problem = format!("lists {} units in one grant", units.len());
                return Err(Invalid::new(field, problem, format!("1 to {GRANT_UNITS_MAX}")));
            }
            Who::Password(PasswordHash(hash))
                if hash.len() > PASSWORD_HASH_BYTES_MAX || !hash.starts_with("$argon2id$") =>
            {
                return Err(Invalid::new(field, "has a password that is not hashed", "an argon2id hash in PHC form"));
            }
            Who::OrganizationUsers
            | Who::UnitUsers(_)
            | Who::NamedPeople
            | Who::Invitation
            | Who::Password(_)
            | Who::Anyone => {}
        }
    }
    Ok(())
}

impl PolicyLevel {
    /// Whether a level may change from `before` to this under the floors above it. What doesn't change isn't asked: a
    /// floor that came later must not stand in the way of another change (it cuts the effective policy down anyway).
    pub fn check_change(&self, before: &Self, floor_above: &Rules) -> Result<(), PolicyRejection> {
        self.set.validate()?;
        self.floor.validate()?;
        let changed = |rules: &Rules, old: &Rules| Rules {
            open: rules.open.clone().filter(|_| rules.open != old.open),
            join: rules.join.clone().filter(|_| rules.join != old.join),
            list: rules.list.filter(|_| rules.list != old.list),
        };
        changed(&self.floor, &before.floor).within(floor_above)?;
        changed(&self.set, &before.set).within(&floor_above.meet(&self.floor))
    }
}

/// The policies in force in a room, and where each comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectivePolicies {
    pub open: Vec<Grant>,
    pub join: Vec<Grant>,
    pub list: Listing,
    pub open_source: Source,
    pub join_source: Source,
    pub list_source: Source,
    /// All floors together: what a level below may allow at most.
    pub floor: Rules,
}

impl Purpose {
    /// The policies of its template; the organization and the levels below it may set others.
    pub fn policies(self) -> Rules {
        let join = match self {
            Self::Meeting | Self::Training => return Rules::default(),
            Self::Support => {
                vec![Grant::to(Who::OrganizationUsers), Grant::to(Who::NamedPeople), Grant::by_lobby(Who::Invitation)]
            }
            Self::Consultation => vec![Grant::to(Who::NamedPeople), Grant::by_lobby(Who::Invitation)],
            Self::Webinar => {
                vec![Grant::to(Who::OrganizationUsers), Grant::to(Who::NamedPeople), Grant::to(Who::Invitation)]
            }
        };
        let list = (self == Self::Consultation).then_some(Listing::Private);
        Rules { open: None, join: Some(join), list }
    }
}

/// The policies in force in a room. `units` are the room's unit and those above it, the root first.
pub fn resolve(
    purpose: Purpose,
    organization: &PolicyLevel,
    units: &[(UnitId, &PolicyLevel)],
    room: &PolicyLevel,
) -> EffectivePolicies {
    let mut effective = EffectivePolicies {
        open: vec![Grant::to(Who::NamedPeople)],
        join: vec![Grant::to(Who::OrganizationUsers), Grant::to(Who::NamedPeople), Grant::to(Who::Invitation)],
        list: Listing::Organization,
        open_source: Source::BuiltIn,
        join_source: Source::BuiltIn,
        list_source: Source::BuiltIn,
        floor: Rules::default(),
    };
    effective.apply(Source::Purpose, &PolicyLevel { set: purpose.policies(), floor: Rules::default() });
    effective.apply(Source::Organization, organization);
    for (unit, level) in units {
        effective.apply(Source::Unit(*unit), level);
    }
    effective.apply(Source::Room, room);
    effective.cut_down()
}

impl EffectivePolicies {
    fn apply(&mut self, source: Source, level: &PolicyLevel) {
        if let Some(open) = &level.set.open {
            self.open.clone_from(open);
            self.open_source = source;
        }
        if let Some(join) = &level.set.join {
            self.join.clone_from(join);
            self.join_source = source;
        }
        if let Some(list) = level.set.list {
            self.list = list;
            self.list_source = source;
        }
        self.floor = self.floor.meet(&level.floor);
    }

    fn cut_down(mut self) -> Self {
        if let Some(floor) = &self.floor.open {
            self.open = meet(&self.open, floor);
        }
        if let Some(floor) = &self.floor.join {
            self.join = meet(&self.join, floor);
        }
        if let Some(floor) = self.floor.list {
            self.list = self.list.min(floor);
        }
        self
    }

    /// Whether someone may start a session in the room. A host always may.
    pub fn may_open(&self, facts: &Facts) -> bool {
        facts.hosts || self.open.iter().any(|grant| facts.satisfy(&grant.who))
    }

    /// Whether and how someone may enter the room's session. Of several grants the one that asks least decides. Hosts and
    /// co-hosts don't wait in the lobby, whatever grants and floors say: somebody has to admit the others. Who may name
    /// or invite hosts is a matter of account roles.
    pub fn may_join(&self, facts: &Facts) -> Option<Access> {
        if facts.hosts {
            return Some(Access { role: SessionRole::Host, lobby: false });
        }
        let lobby = self.join.iter().filter(|grant| facts.satisfy(&grant.who)).map(|grant| grant.lobby).min()?;
        // The roles are declared from the highest down.
        let role = facts.named.into_iter().chain(facts.invited).min().unwrap_or(SessionRole::Participant);
        Some(Access { role, lobby: lobby && !role.moderates() })
    }
}

/// The password that one of the grants is for: whether someone knows it is for the caller to check.
pub fn password(grants: &[Grant]) -> Option<&PasswordHash> {
    grants.iter().find_map(Grant::password)
}

impl Grant {
    fn password(&self) -> Option<&PasswordHash> {
        match &self.who {
            Who::Password(hash) => Some(hash),
            Who::OrganizationUsers | Who::UnitUsers(_) | Who::NamedPeople | Who::Invitation | Who::Anyone => None,
        }
    }
}

/// How someone may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub role: SessionRole,
    /// Whether the grant leads through the lobby. The setting `lobby` of the session may send them there too.
    pub lobby: bool,
}

/// What is known of the one who asks. The default is a stranger. Someone of another organization is a stranger too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether they are an active user of the room's organization.
    pub organization_user: bool,
    /// Their unit and those above it; none when they are not of this organization.
    pub units: BTreeSet<UnitId>,
    /// Whether they own the room, or hold a role that hosts (owner, admin, unit admin, host) where the room is.
    pub hosts: bool,
    /// The role that the room names them for.
    pub named: Option<SessionRole>,
    /// The role of their invitation to this room, which is good now.
    pub invited: Option<SessionRole>,
    /// The passwords of these policies that they have shown to know.
    pub passwords: BTreeSet<PasswordHash>,
}

impl Facts {
    /// Whether they are one of those whom the grant is for.
    fn satisfy(&self, who: &Who) -> bool {
        match who {
            Who::OrganizationUsers => self.organization_user,
            Who::UnitUsers(units) => self.organization_user && !self.units.is_disjoint(units),
            Who::NamedPeople => self.named.is_some(),
            Who::Invitation => self.invited.is_some(),
            Who::Password(hash) => self.passwords.contains(hash),
            Who::Anyone => true,
        }
    }
}

/// Whether everyone whom `a` lets in is let in by `b` too, and is spared the lobby only where `b` spares them. Where that
/// depends on who is in which unit it says no.
pub fn stricter_or_equal(a: &[Grant], b: &[Grant]) -> bool {
    parts(a)
        .iter()
        .all(|part| parts(b).iter().any(|other| covers(&other.who, &part.who) && (part.lobby || !other.lobby)))
}

/// A list of grants that lets in only whom both let in, by the lobby where either says so. Where "both" can't be said in
/// grants (users of one unit who also have an invitation) it lets in nobody.
pub fn meet(a: &[Grant], b: &[Grant]) -> Vec<Grant> {
    let mut both: Vec<Grant> = Vec::new();
    for (one, other) in parts(a).iter().flat_map(|one| parts(b).into_iter().map(move |other| (one.clone(), other))) {
        let who = if covers(&other.who, &one.who) {
            one.who
        } else if covers(&one.who, &other.who) {
            other.who
        } else {
            continue;
        };
        let lobby = one.lobby || other.lobby;
        match both.iter_mut().find(|grant| grant.who == who) {
            Some(grant) => grant.lobby &= lobby,
            None => both.push(Grant { who, lobby }),
        }
    }
    joined(both)
}

/// The grants with one unit each.
fn parts(grants: &[Grant]) -> Vec<Grant> {
    let mut parts = Vec::with_capacity(grants.len());
    for grant in grants {
        match &grant.who {
            Who::UnitUsers(units) => {
                parts.extend(units.iter().map(|unit| Grant { who: Who::UnitUsers([*unit].into()), lobby: grant.lobby }))
            }
            who @ (Who::OrganizationUsers | Who::NamedPeople | Who::Invitation | Who::Password(_) | Who::Anyone) => {
                parts.push(Grant { who: who.clone(), lobby: grant.lobby });
            }
        }
    }
    parts
}

/// The grants with the units of equal lobby together again.
fn joined(parts: Vec<Grant>) -> Vec<Grant> {
    let mut grants: Vec<Grant> = Vec::with_capacity(parts.len());
    for part in parts {
        let same = |grant: &&mut Grant| grant.lobby == part.lobby && matches!(grant.who, Who::UnitUsers(_));
        if let Who::UnitUsers(units) = &part.who
            && let Some(Grant { who: Who::UnitUsers(all), .. }) = grants.iter_mut().find(same)
        {
            all.extend(units);
        } else {
            grants.push(part);
        }
    }
    grants
}

/// Whether everyone of `narrow` is certainly one of `wide`.
fn covers(wide: &Who, narrow: &Who) -> bool {
    match (wide, narrow) {
        (Who::Anyone, _) => true,
        // Who is named is a user of the organization.
        (Who::OrganizationUsers, Who::OrganizationUsers | Who::UnitUsers(_) | Who::NamedPeople) => true,
        (Who::UnitUsers(wide), Who::UnitUsers(narrow)) => narrow.is_subset(wide),
        (
            Who::OrganizationUsers | Who::UnitUsers(_) | Who::NamedPeople | Who::Invitation | Who::Password(_),
            narrow,
        ) => wide == narrow,
    }
}

#[cfg(test)]
mod tests;
