//! The table role × operation, found by asking the policies: for the docs, and for the tests that compare it with what
//! was meant.

use std::{collections::BTreeMap, fmt::Write};

use async_trait::async_trait;
use witan_domain::{
    AccountRole, Actor, OrganizationId, ParticipantId, RoleScope, RoomId, SessionId, SessionRole, Timestamp, UnitId,
    UserId,
    policy::{Grant, Listing, Who},
};

use crate::{
    Account, ApiKeyRecord, Decision, Directory, DirectoryError, HeldRole, Operation, OperationKind, Policies,
    PolicyError, Resource, ResourceKind, RoomAccess, Scope,
};

/// Who asks, in the order of the table's columns: a letter, and what it stands for.
pub const COLUMNS: [(char, &str); 23] = [
    ('O', "owner"),
    ('A', "admin"),
    ('U', "unit admin"),
    ('H', "host"),
    ('M', "member"),
    ('D', "auditor"),
    ('P', "privacy officer"),
    ('B', "billing"),
    ('I', "integrator"),
    ('s', "a user, about oneself"),
    ('R', "the room's owner"),
    ('G', "a user for whom the room's policies have a grant"),
    ('T', "a user who took part in the session"),
    ('h', "in the session: host"),
    ('c', "in the session: co-host"),
    ('p', "in the session: participant"),
    ('i', "in the session: interpreter"),
    ('g', "in the session: guardian"),
    ('o', "in the session: observer"),
    ('d', "at the session's door"),
    ('S', "witan itself"),
    ('X', "operator of the deployment"),
    ('N', "nobody that we know"),
];

/// One operation, and who may do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub operation: Operation,
    /// In the order of [`COLUMNS`].
    pub allowed: [bool; COLUMNS.len()],
}

const HERE: OrganizationId = OrganizationId(1);
const SESSION: SessionId = SessionId(2);
const ACTOR: UserId = UserId(3);
const SOMEONE: UserId = UserId(4);

/// What the policies say of every role and every operation, in one's own organization, of what belongs to someone else,
/// in a room whose policies are for named people only.
///
/// # Errors
/// [`PolicyError`] as in [`Policies::try_new`].
pub fn matrix() -> Result<Vec<Row>, PolicyError> {
    let policies = Policies::try_new()?;
    let row = |operation: &Operation| {
        let allowed = COLUMNS.map(|(letter, _)| Case::new(letter, *operation).allowed(&policies));
        Row { operation: *operation, allowed }
    };
    Ok(Operation::ALL.iter().map(row).collect())
}

/// One cell of the table, as a directory that knows nothing else.
struct Case {
    letter: char,
    operation: Operation,
}

impl Case {
    const fn new(letter: char, operation: Operation) -> Self {
        Self { letter, operation }
    }

    fn allowed(&self, policies: &Policies) -> bool {
        let decision =
            policies.authorize(&self.actor(), None, self.operation, &self.resource(), self, Timestamp::default());
        decision == Decision::Allow
    }

    fn actor(&self) -> Actor {
        match self.letter {
            'S' => Actor::System,
            'X' => Actor::Operator,
            'N' => Actor::Anonymous,
            'h' | 'c' | 'p' | 'i' | 'g' | 'o' | 'd' => {
                Actor::Participant { organization: HERE, session: SESSION, participant: ParticipantId(5) }
            }
            _ => Actor::User { organization: HERE, user: ACTOR, key: None },
        }
    }

    fn account_role(&self) -> Option<AccountRole> {
        AccountRole::ALL.into_iter().zip(COLUMNS).find(|(_, (letter, _))| *letter == self.letter).map(|(role, _)| role)
    }

    fn session_role(&self) -> Option<SessionRole> {
        let columns = COLUMNS.into_iter().skip_while(|(letter, _)| *letter != 'h');
        SessionRole::ALL.into_iter().zip(columns).find(|(_, (letter, _))| *letter == self.letter).map(|(role, _)| role)
    }

    fn resource(&self) -> Resource {
        let kind = self.operation.resource();
        if kind == ResourceKind::Deployment {
            return Resource::default();
        }
        let session_role = self.session_role().filter(|_| kind == ResourceKind::Session);
        let own_place = session_role.is_some() || self.letter == 'd';
        Resource {
            kind,
            organization: Some(HERE),
            id: SESSION.to_string(),
            unit: Some(UnitId(6)),
            room: Some(RoomId(7)),
            user: Some(if self.letter == 's' { ACTOR } else { SOMEONE }),
            role: Some(AccountRole::Member),
            scopes: None,
            session_role,
            took_part: session_role.is_some() || self.letter == 'T',
            own: own_place && kind == ResourceKind::Session,
            // It can't be asked for at all without the invitation's secret.
            grant: matches!(
                self.operation,
                Operation::ExchangeInvitation | Operation::WaitAtDesk | Operation::LeaveDesk | Operation::DeskWait
            ),
        }
    }
}

#[async_trait]
impl Directory for Case {
    async fn wait_for(&self, _: u64) -> bool {
        true
    }

    fn account(&self, _: OrganizationId, user: UserId) -> Result<Option<Account>, DirectoryError> {
        let role = self.account_role().filter(|_| user == ACTOR);
        let held = role.map(|role| HeldRole { role, scope: RoleScope::Organization, expires_at: None });
        Ok(Some(Account { active: true, unit: None, roles: held.into_iter().collect() }))
    }

    fn unit_path(&self, _: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError> {
        Ok(Some(vec![unit]))
    }

    fn room(&self, _: OrganizationId, _: RoomId) -> Result<Option<RoomAccess>, DirectoryError> {
        let (who, list) = match self.letter {
            'G' => (Who::OrganizationUsers, Listing::Organization),
            _ => (Who::NamedPeople, Listing::Private),
        };
        Ok(Some(RoomAccess {
            unit: UnitId(6),
            owner: Some(if self.letter == 'R' { ACTOR } else { SOMEONE }),
            people: BTreeMap::new(),
            open: vec![Grant::to(who.clone())],
            join: vec![Grant::to(who)],
            list,
        }))
    }

    fn api_key(&self, _: &str) -> Result<Option<ApiKeyRecord>, DirectoryError> {
        Ok(None)
    }
}

/// The table as a page of the docs.
pub fn markdown(rows: &[Row]) -> String {
    let mut page = String::from(INTRODUCTION);
    for (letter, stands_for) in COLUMNS {
        let _ = writeln!(page, "| {letter} | {stands_for} |");
    }
    page.push_str(CONDITIONS);
    let parts = [
        ("Mutations", OperationKind::Mutation),
        ("Queries", OperationKind::Query),
        ("Subscriptions", OperationKind::Subscription),
        ("At the command line", OperationKind::CommandLine),
    ];
    for (title, kind) in parts {
        let letters: Vec<String> = COLUMNS.iter().map(|(letter, _)| letter.to_string()).collect();
        let _ = writeln!(page, "\n## {title}\n\n| operation | scope | {} |", letters.join(" | "));
        let _ = writeln!(page, "| --- | --- |{}", " :-: |".repeat(COLUMNS.len()));
        for row in rows.iter().filter(|row| row.operation.kind() == kind) {
            let cells: Vec<&str> = row.allowed.iter().map(|allowed| if *allowed { "●" } else { " " }).collect();
            let scope = row.operation.scope().map_or(String::new(), |scope: Scope| format!("`{}`", scope.name()));
            let _ = writeln!(page, "| `{}` | {scope} | {} |", row.operation.name(), cells.join(" | "));
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Who may do what

This page is made from the policies (`crates/auth/policies`); a test fails when it is stale, and writes it anew with
`WITAN_BLESS=1 cargo test -p witan-auth`. ● means that it is allowed in one's own organization, of what belongs to
someone else, in a room whose policies are for named people only. Everything else is denied; in another organization
everything is, except to exchange an invitation whose secret one has, or to wait by it at the desk.

| column | who asks |
| --- | --- |
";

const CONDITIONS: &str = "
The account roles (O to I) are held in the whole organization here. Held in a unit, they hold in that unit and the units
below it. What the table can't show:

* An **API key** acts as its user, limited to its scopes: the operation's scope must be among them (no scopes: no limit).
  A key can't make another that may do more than itself, and makes a join token only if its scopes hold all that a
  participant may do (`sessions:…`, `content:…`, `audit:read`): whom the token lets in is limited by no key.
* Who makes a key that **acts as another** has it in hand, and what that user may read with it, until it is revoked: an
  account has no other way in. Who made it is in the audit trail, and every read of content names the key.
* An **admin** doesn't change, deactivate or give roles to an owner, make a key that acts as one, or make someone an owner. A
  **unit admin** doesn't change or deactivate who has a role of administration (admin, unit admin, auditor, privacy
  officer, billing, integrator), and gives and takes the roles unit admin, host and member, in their unit.
* A **unit admin** moves or archives units below their own, not their own.
* An **integrator** makes keys that act as themselves, or as users without a role of administration.
* **Lists** (`listRooms`, `listSessions`, `listUsers`, …) show only what may be read one by one.
* The roles that **host** (owner, admin, unit admin, host) open, enter and moderate where they hold, whatever a room's
  policies say; so does the room's owner. That they entered is in the session's record like anyone's entry.
* **Content** (chat) is read by those who took part, whatever other role they have.
* **Media** is entered, sent and received with the resume secret of a participant who is in; an account by itself hears nothing.
* **Nobody that we know** opens a room, or gets a join token, where its open or its join policy has a grant for anyone, or
  for who knows the password and shows it. A user, too, opens and enters by a password that they show.
* Whoever came in by an invitation or a guest link is a participant in one session, and nobody in any other; but whom a
  host has **moved** makes a join token for the session that they were moved to.
";
