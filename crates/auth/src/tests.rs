use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use async_trait::async_trait;
use witan_domain::{
    AccountRole, Actor, ApiKeyId, InvitationId, OrganizationId, ParticipantId, PersonId, RoleScope, RoomId, SessionId,
    SessionRole, Timestamp, TokenId, UnitId, UserId,
    policy::{Grant, Listing, Who},
    text::SecretHash,
};

use super::*;

const ACME: OrganizationId = OrganizationId(1);
const OTHER: OrganizationId = OrganizationId(2);
const ALICE: UserId = UserId(10);
const BOB: UserId = UserId(11);
const ROOM: RoomId = RoomId(20);
const SESSION: SessionId = SessionId(30);
const ROOT: UnitId = UnitId(40);
const CLINIC: UnitId = UnitId(41);
const WARD: UnitId = UnitId(42);
const LEGAL: UnitId = UnitId(43);
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Who may do what, as product.md means it: thought, not printed. The letters are those of [`COLUMNS`]. The roles that host
/// (owner, admin, unit admin, host; the domain's policies say the same) open, enter and moderate where they hold.
const MEANT: &[(&str, &str)] = &[
    ("updateOrganization", "OA"),
    ("setOrganizationSettings", "OA"),
    ("setOrganizationPolicies", "OA"),
    ("createUnit", "OAU"),
    ("updateUnit", "OAU"),
    ("moveUnit", "OAU"),
    ("archiveUnit", "OAU"),
    ("setUnitSettings", "OAU"),
    ("setUnitPolicies", "OAU"),
    ("createUser", "OAU"),
    ("updateUser", "OAU"),
    ("deactivateUser", "OAU"),
    ("reactivateUser", "OAU"),
    ("grantRole", "OAU"),
    ("revokeRole", "OAU"),
    ("createApiKey", "OAI"),
    ("revokeApiKey", "OAIs"),
    ("createRoom", "OAUH"),
    ("updateRoom", "OAUR"),
    ("setRoomSettings", "OAUR"),
    ("setRoomPolicies", "OAUR"),
    ("addRoomPerson", "OAUR"),
    ("removeRoomPerson", "OAUR"),
    ("disableRoom", "OAUR"),
    ("enableRoom", "OAUR"),
    ("archiveRoom", "OAUR"),
    ("createInvitation", "OAUHR"),
    ("revokeInvitation", "OAUHR"),
    ("exchangeInvitation", "OAUHMDPBIsRGThcpigodN"),
    ("waitAtDesk", "OAUHMDPBIsRGThcpigodN"),
    ("leaveDesk", "OAUHMDPBIsRGThcpigodN"),
    ("createJoinToken", "OAUHRG"),
    ("openSession", "OAUHRG"),
    ("openAdHocSession", "OAUH"),
    ("knock", "hcpigod"),
    ("withdrawKnock", "hcpigodS"),
    ("admitParticipant", "OAUHRhc"),
    ("admitAll", "OAUHRhc"),
    ("denyParticipant", "OAUHRhc"),
    ("joinSession", "hcpigod"),
    ("leaveSession", "hcpigodS"),
    ("resumeParticipation", "hcpigod"),
    ("muteParticipant", "OAUHRhc"),
    ("unmuteParticipant", "OAUHRhc"),
    ("muteAll", "OAUHRhc"),
    ("holdParticipant", "OAUHRhc"),
    ("releaseParticipant", "OAUHRhc"),
    ("moveParticipant", "OAUHRhc"),
    ("removeParticipant", "OAUHRhc"),
    ("changeParticipantRole", "OAUHRh"),
    ("lockSession", "OAUHRhc"),
    ("unlockSession", "OAUHRhc"),
    ("extendSession", "OAUHRhc"),
    ("changeSessionSetting", "OAUHRh"),
    ("endSession", "OAUHRhcS"),
    ("giveConsent", "hcpigod"),
    ("withdrawConsent", "hcpigod"),
    ("sendMessage", "hcpig"),
    ("removeMessage", "hcpig"),
    ("enterMedia", "hcpigo"),
    ("connectTransport", "hcpigo"),
    ("restartIce", "hcpigo"),
    ("publishStream", "hcpig"),
    ("setStreamPaused", "hcpig"),
    ("unpublishStream", "hcpig"),
    ("acknowledgeOffer", "hcpigo"),
    ("setPreferredLayers", "hcpigo"),
    ("requestKeyFrame", "hcpigo"),
    ("erasePerson", "P"),
    ("viewer", "OAUHMDPBIsRGThcpigodN"),
    ("readOrganization", "OAUHMDPBIsRGT"),
    ("readUnit", "OAUHMDPBIsRGT"),
    ("listUnits", "OAUHMDPBIsRGT"),
    ("readUser", "OAUHDPs"),
    ("listUsers", "OAUHDP"),
    ("readApiKey", "OAIs"),
    ("listApiKeys", "OAI"),
    ("readRoom", "OAUHDPRG"),
    ("listRooms", "OAUHMDPBIsRGT"),
    ("readInvitation", "OAUHR"),
    ("listInvitations", "OAUHR"),
    ("deskWait", "OAUHMDPBIsRGThcpigodN"),
    ("waitingDesk", "OAUH"),
    ("readSession", "OAUHDPBRThcpigod"),
    ("listSessions", "OAUHMDPBIsRGT"),
    ("readParticipants", "OAUHDPRThcpigo"),
    ("readHistory", "OAUHDPRhc"),
    ("readChat", "Thcpigo"),
    ("readAuditTrail", "OADP"),
    ("readInclusionProof", "OAD"),
    ("readCheckpoint", "OAUHMDPBIsRGThcpigodSXN"),
    ("readConsistencyProof", "OAUHMDPBIsRGThcpigodSXN"),
    ("waitingDeskChanged", "OAUH"),
    ("sessionChanged", "OAUHDPBRThcpigod"),
    ("sessionEvents", "OAUHDPRhc"),
    ("sessionSignals", "hcpigo"),
    ("organizationActivity", "OADP"),
    ("createOrganization", "X"),
    ("suspendOrganization", "X"),
    ("reactivateOrganization", "X"),
    ("backup", "X"),
    ("restore", "X"),
    ("replay", "X"),
    ("verifyJournal", "X"),
];

#[test]
fn the_policies_say_what_is_meant() {
    let meant: BTreeMap<&str, BTreeSet<char>> =
        MEANT.iter().map(|(operation, who)| (*operation, who.chars().collect())).collect();
    assert_eq!(meant.len(), MEANT.len(), "an operation stands there twice");
    let mut wrong = Vec::new();
    for row in matrix().unwrap() {
        let who: BTreeSet<char> =
            COLUMNS.iter().zip(row.allowed).filter(|(_, allowed)| *allowed).map(|((letter, _), _)| *letter).collect();
        match meant.get(row.operation.name()) {
            Some(expected) if *expected == who => {}
            expected => wrong.push(format!("{}: {who:?}, meant {expected:?}", row.operation.name())),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(meant.len(), Operation::ALL.len());
}

#[test]
fn the_table_in_the_docs_is_fresh() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
    let page = markdown(&matrix().unwrap());
    if std::env::var_os("WITAN_BLESS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/roles.md is stale: WITAN_BLESS=1 cargo test -p witan-auth writes it anew");
}

/// ROOT ─ CLINIC ─ WARD, and LEGAL beside it. The room is in CLINIC.
#[derive(Default)]
struct Known {
    accounts: HashMap<(OrganizationId, UserId), Account>,
    room: Option<RoomAccess>,
    broken: bool,
}

#[async_trait]
impl Directory for Known {
    async fn wait_for(&self, _: u64) -> bool {
        !self.broken
    }

    fn account(&self, organization: OrganizationId, user: UserId) -> Result<Option<Account>, DirectoryError> {
        if self.broken {
            return Err(DirectoryError("broken".into()));
        }
        Ok(self.accounts.get(&(organization, user)).cloned())
    }

    fn unit_path(&self, organization: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError> {
        let path = match unit {
            ROOT => vec![ROOT],
            CLINIC => vec![ROOT, CLINIC],
            WARD => vec![ROOT, CLINIC, WARD],
            LEGAL => vec![ROOT, LEGAL],
            _ => return Ok(None),
        };
        Ok((organization == ACME).then_some(path))
    }

    fn room(&self, organization: OrganizationId, _: RoomId) -> Result<Option<RoomAccess>, DirectoryError> {
        Ok(self.room.clone().filter(|_| organization == ACME))
    }

    fn api_key(&self, _: &str) -> Result<Option<ApiKeyRecord>, DirectoryError> {
        Ok(None)
    }
}

fn held(role: AccountRole, scope: RoleScope) -> HeldRole {
    HeldRole { role, scope, expires_at: None }
}

fn knows(roles: &[HeldRole]) -> Known {
    let account = Account { active: true, unit: Some(CLINIC), roles: roles.to_vec() };
    Known { accounts: HashMap::from([((ACME, ALICE), account)]), ..Known::default() }
}

fn alice() -> Actor {
    Actor::User { organization: ACME, user: ALICE, key: None }
}

fn resource(kind: ResourceKind, unit: Option<UnitId>) -> Resource {
    Resource { kind, organization: Some(ACME), id: SESSION.to_string(), unit, ..Resource::default() }
}

fn room(who: Who) -> RoomAccess {
    RoomAccess {
        unit: CLINIC,
        owner: Some(BOB),
        people: BTreeMap::new(),
        open: vec![Grant::to(who.clone())],
        join: vec![Grant::by_lobby(Who::Anyone), Grant::to(who)],
        list: Listing::Private,
    }
}

struct Court {
    policies: Policies,
}

impl Court {
    fn new() -> Self {
        Self { policies: Policies::try_new().unwrap() }
    }

    fn asks(&self, known: &Known, actor: &Actor, operation: Operation, resource: &Resource) -> Decision {
        self.policies.authorize(actor, None, operation, resource, known, NOW)
    }

    fn allows(&self, known: &Known, operation: Operation, resource: &Resource) -> bool {
        self.asks(known, &alice(), operation, resource) == Decision::Allow
    }
}

fn denied_by(policy: &str) -> Decision {
    Decision::Deny { policy: Some(policy.to_owned()) }
}

#[test]
fn a_role_of_a_unit_holds_there_and_below() {
    let court = Court::new();
    let known = knows(&[held(AccountRole::UnitAdmin, RoleScope::Unit(CLINIC))]);
    let may = |operation, kind, unit| court.allows(&known, operation, &resource(kind, unit));
    for operation in [Operation::CreateRoom, Operation::UpdateRoom, Operation::DisableRoom] {
        assert!(may(operation, ResourceKind::Room, Some(CLINIC)));
        assert!(may(operation, ResourceKind::Room, Some(WARD)));
        for elsewhere in [Some(ROOT), Some(LEGAL), Some(UnitId(99)), None] {
            assert!(!may(operation, ResourceKind::Room, elsewhere), "{elsewhere:?}");
        }
    }
    assert!(may(Operation::ListUsers, ResourceKind::Organization, None));
    assert!(!may(Operation::UpdateOrganization, ResourceKind::Organization, None));
    // Its own unit may not be moved from under what is above it.
    assert!(may(Operation::UpdateUnit, ResourceKind::Unit, Some(CLINIC)));
    assert!(may(Operation::MoveUnit, ResourceKind::Unit, Some(WARD)));
    assert!(!may(Operation::MoveUnit, ResourceKind::Unit, Some(CLINIC)));
    assert!(!may(Operation::CreateUnit, ResourceKind::Unit, None));
}

#[test]
fn a_role_acts_until_it_expires() {
    let court = Court::new();
    let role = |expires_at| HeldRole { role: AccountRole::Auditor, scope: RoleScope::Organization, expires_at };
    let trail = resource(ResourceKind::Organization, None);
    let may = |expires_at| court.allows(&knows(&[role(expires_at)]), Operation::ReadAuditTrail, &trail);
    assert!(may(None));
    assert!(may(Some(NOW.plus_seconds(1))));
    assert!(!may(Some(NOW)));
    assert!(!may(Some(Timestamp::from_seconds(1))));
}

/// An invitation's secret leads also those who are somebody elsewhere.
const BY_SECRET: [Operation; 4] =
    [Operation::ExchangeInvitation, Operation::WaitAtDesk, Operation::LeaveDesk, Operation::DeskWait];

#[test]
fn another_organization_is_closed() {
    let court = Court::new();
    let owner = knows(&[held(AccountRole::Owner, RoleScope::Organization)]);
    for operation in Operation::ALL.iter().filter(|operation| operation.resource() != ResourceKind::Deployment) {
        let mut foreign = resource(operation.resource(), Some(CLINIC));
        foreign.organization = Some(OTHER);
        foreign.own = true;
        foreign.took_part = true;
        foreign.session_role = Some(SessionRole::Host);
        foreign.grant = !BY_SECRET.contains(operation);
        assert_eq!(court.asks(&owner, &alice(), *operation, &foreign), denied_by("other-organization"));
        let guest = Actor::Participant { organization: ACME, session: SESSION, participant: ParticipantId(1) };
        assert_ne!(court.asks(&owner, &guest, *operation, &foreign), Decision::Allow, "{}", operation.name());
    }
    let mut invitation = resource(ResourceKind::Invitation, Some(CLINIC));
    invitation.organization = Some(OTHER);
    invitation.grant = true;
    assert!(court.allows(&owner, Operation::ExchangeInvitation, &invitation));
    assert!(!court.allows(&owner, Operation::CreateInvitation, &invitation));
}

#[test]
fn a_participant_is_nobody_in_another_session() {
    let court = Court::new();
    let guest = Actor::Participant { organization: ACME, session: SessionId(31), participant: ParticipantId(1) };
    for operation in Operation::ALL.iter().filter(|operation| operation.resource() == ResourceKind::Session) {
        let mut other = resource(ResourceKind::Session, Some(CLINIC));
        (other.own, other.took_part, other.grant) = (true, true, *operation != Operation::CreateJoinToken);
        other.session_role = Some(SessionRole::Host);
        assert_eq!(court.asks(&Known::default(), &guest, *operation, &other), denied_by("other-session"));
    }
}

#[test]
fn who_was_moved_gets_a_token_for_the_other_session() {
    let court = Court::new();
    let moved = Actor::Participant { organization: ACME, session: SessionId(31), participant: ParticipantId(1) };
    let mut other = resource(ResourceKind::Session, Some(CLINIC));
    other.grant = true;
    assert_eq!(court.asks(&Known::default(), &moved, Operation::CreateJoinToken, &other), Decision::Allow);
    other.organization = Some(OTHER);
    assert_eq!(court.asks(&Known::default(), &moved, Operation::CreateJoinToken, &other), denied_by("other-session"));
}

#[test]
fn a_deactivated_user_may_nothing() {
    let court = Court::new();
    let mut known = knows(&[held(AccountRole::Owner, RoleScope::Organization)]);
    known.accounts.get_mut(&(ACME, ALICE)).unwrap().active = false;
    for operation in Operation::ALL {
        let mut own = resource(operation.resource(), Some(CLINIC));
        (own.own, own.took_part, own.grant) = (true, true, true);
        assert_eq!(court.asks(&known, &alice(), *operation, &own), denied_by("deactivated"), "{}", operation.name());
    }
    // Nor somebody whom the directory doesn't know.
    let nobody = Known::default();
    let organization = resource(ResourceKind::Organization, None);
    assert_eq!(
        court.asks(&nobody, &alice(), Operation::ReadOrganization, &organization),
        Decision::Deny { policy: None }
    );
}

/// What Cedar said is remembered; what is known of the actor is not.
#[test]
fn an_answer_that_is_remembered_outlives_no_right() {
    let court = Court::new();
    let trail = resource(ResourceKind::Organization, None);
    let reads = |known: &Known| court.allows(known, Operation::ReadAuditTrail, &trail);
    let auditor = || knows(&[held(AccountRole::Auditor, RoleScope::Organization)]);
    let mut deactivated = auditor();
    deactivated.accounts.get_mut(&(ACME, ALICE)).unwrap().active = false;
    for gone in [knows(&[]), knows(&[held(AccountRole::Member, RoleScope::Organization)]), deactivated] {
        assert!(reads(&auditor()));
        assert!(!reads(&gone));
    }
    assert!(reads(&auditor()));

    // A role that ends, asked before its end, at it and after.
    let expires_at = Some(NOW.plus_seconds(60));
    let known = knows(&[HeldRole { expires_at, ..held(AccountRole::Auditor, RoleScope::Organization) }]);
    let at = |now| court.policies.authorize(&alice(), None, Operation::ReadAuditTrail, &trail, &known, now);
    assert_eq!(at(NOW.plus_seconds(59)), Decision::Allow);
    assert_eq!(at(NOW.plus_seconds(60)), Decision::Deny { policy: None });
    assert_eq!(at(NOW.plus_seconds(61)), Decision::Deny { policy: None });

    // A key with fewer scopes, and a room that opens to others now.
    let sessions = Scopes::parse(["sessions:read"]).unwrap();
    let by_key =
        court.policies.authorize(&alice(), Some(&sessions), Operation::ReadAuditTrail, &trail, &auditor(), NOW);
    assert_eq!(by_key, denied_by("key-scope"));
    let of_room = Resource { room: Some(ROOM), ..resource(ResourceKind::Room, None) };
    let opens = |who| court.allows(&Known { room: Some(room(who)), ..knows(&[]) }, Operation::OpenSession, &of_room);
    assert!(opens(Who::OrganizationUsers));
    assert!(!opens(Who::UnitUsers([LEGAL].into())));
    assert!(opens(Who::UnitUsers([CLINIC].into())));
}

#[test]
fn a_key_is_limited_to_its_scopes() {
    let court = Court::new();
    let known = knows(&[held(AccountRole::Owner, RoleScope::Organization)]);
    let asks = |scopes: &Scopes, operation: Operation| {
        let about = resource(operation.resource(), None);
        court.policies.authorize(&alice(), Some(scopes), operation, &about, &known, NOW)
    };
    let rooms = Scopes::parse(["rooms:read", "rooms:write"]).unwrap();
    assert_eq!(asks(&rooms, Operation::CreateRoom), Decision::Allow);
    assert_eq!(asks(&rooms, Operation::Viewer), Decision::Allow);
    assert_eq!(asks(&rooms, Operation::CreateUser), denied_by("key-scope"));
    assert_eq!(asks(&Scopes::default(), Operation::CreateUser), Decision::Allow);
    assert!(Scopes::parse(["rooms:write", "everything"]).is_err());
}

#[test]
fn a_key_makes_no_wider_key() {
    let court = Court::new();
    let known = knows(&[held(AccountRole::Owner, RoleScope::Organization)]);
    let asks = |own: Option<&[&str]>, wanted: &[&str]| {
        let mut key = resource(ResourceKind::ApiKey, None);
        key.scopes = Some(Scopes::parse(wanted.iter().copied()).unwrap());
        let own = own.map(|own| Scopes::parse(own.iter().copied()).unwrap());
        court.policies.authorize(&alice(), own.as_ref(), Operation::CreateApiKey, &key, &known, NOW)
    };
    assert_eq!(asks(None, &[]), Decision::Allow);
    assert_eq!(asks(Some(&[]), &[]), Decision::Allow);
    assert_eq!(asks(Some(&["keys:write", "rooms:read"]), &["rooms:read"]), Decision::Allow);
    assert_eq!(asks(Some(&["keys:write"]), &["rooms:read"]), denied_by("wider-key"));
    assert_eq!(asks(Some(&["keys:write"]), &[]), denied_by("wider-key"));
}

#[test]
fn nobody_takes_over_who_may_do_more() {
    let court = Court::new();
    let may = |role, target: Option<AccountRole>, operation: Operation| {
        let mut known = knows(&[held(role, RoleScope::Organization)]);
        let roles = target.map(|target| held(target, RoleScope::Unit(LEGAL))).into_iter().collect();
        known.accounts.insert((ACME, BOB), Account { active: true, unit: Some(WARD), roles });
        let mut about = resource(operation.resource(), Some(WARD));
        about.user = Some(BOB);
        about.role = Some(AccountRole::Host);
        court.allows(&known, operation, &about)
    };
    use AccountRole::{Admin, Auditor, Host, Integrator, Owner, UnitAdmin};
    assert!(may(Owner, Some(Owner), Operation::UpdateUser));
    assert!(may(Admin, Some(Admin), Operation::UpdateUser));
    assert!(!may(Admin, Some(Owner), Operation::UpdateUser));
    assert!(!may(Admin, Some(Owner), Operation::GrantRole));
    assert!(!may(Admin, Some(Owner), Operation::CreateApiKey));
    assert!(may(UnitAdmin, Some(Host), Operation::DeactivateUser));
    assert!(!may(UnitAdmin, Some(Auditor), Operation::DeactivateUser));
    assert!(may(Integrator, Some(Host), Operation::CreateApiKey));
    assert!(!may(Integrator, Some(UnitAdmin), Operation::CreateApiKey));
}

#[test]
fn roles_are_given_from_above() {
    let court = Court::new();
    let may = |giver, given, unit| {
        let known = knows(&[giver]);
        let about = Resource { user: Some(BOB), role: Some(given), ..resource(ResourceKind::Role, unit) };
        court.allows(&known, Operation::GrantRole, &about)
    };
    use AccountRole::{Admin, Auditor, Host, Member, Owner, UnitAdmin};
    let organization = RoleScope::Organization;
    assert!(may(held(Owner, organization), Owner, None));
    assert!(may(held(Admin, organization), Auditor, None));
    assert!(!may(held(Admin, organization), Owner, None));
    let clinic = held(UnitAdmin, RoleScope::Unit(CLINIC));
    assert!(may(clinic, Host, Some(WARD)));
    assert!(may(clinic, UnitAdmin, Some(CLINIC)));
    assert!(!may(clinic, Auditor, Some(WARD)));
    assert!(!may(clinic, Admin, Some(WARD)));
    assert!(!may(clinic, Host, Some(LEGAL)));
    // The role in the whole organization is not in their unit.
    assert!(!may(clinic, Member, None));
    assert!(!may(held(Host, organization), Member, Some(WARD)));
}

#[test]
fn a_rooms_policies_let_people_in() {
    let court = Court::new();
    let may = |who: Who, named: bool| {
        let mut known = knows(&[]);
        let mut access = room(who);
        access.join.retain(|grant| grant.who != Who::Anyone);
        if named {
            access.people.insert(ALICE, SessionRole::Participant);
        }
        known.room = Some(access);
        let about = |kind| Resource { room: Some(ROOM), ..resource(kind, None) };
        let join = court.allows(&known, Operation::CreateJoinToken, &about(ResourceKind::Session));
        let open = court.allows(&known, Operation::OpenSession, &about(ResourceKind::Room));
        assert_eq!(join, open);
        join
    };
    assert!(may(Who::OrganizationUsers, false));
    assert!(may(Who::NamedPeople, true));
    assert!(!may(Who::NamedPeople, false));
    // Alice's own unit is CLINIC, below ROOT.
    assert!(may(Who::UnitUsers(BTreeSet::from([ROOT])), false));
    assert!(may(Who::UnitUsers(BTreeSet::from([LEGAL, CLINIC])), false));
    assert!(!may(Who::UnitUsers(BTreeSet::from([WARD, LEGAL])), false));
    assert!(!may(Who::Invitation, false));
    // The room's unit counts where the resource names none: a host there opens whatever the policy says.
    let mut known = knows(&[held(AccountRole::Host, RoleScope::Unit(CLINIC))]);
    known.room = Some(room(Who::NamedPeople));
    let about = Resource { room: Some(ROOM), ..resource(ResourceKind::Room, None) };
    assert!(court.allows(&known, Operation::OpenSession, &about));
}

#[test]
fn the_best_grant_to_join_has_no_lobby() {
    let access = room(Who::OrganizationUsers);
    assert!(!access.join_grant(Some(ALICE), &[], false).unwrap().lobby);
    assert!(access.join_grant(None, &[], false).unwrap().lobby);
    let invited = room(Who::Invitation);
    assert!(!invited.join_grant(None, &[], true).unwrap().lobby);
}

#[test]
fn no_account_role_opens_content() {
    let court = Court::new();
    let roles: Vec<_> = AccountRole::ALL.into_iter().map(|role| held(role, RoleScope::Organization)).collect();
    let mut known = knows(&roles);
    let mut access = room(Who::OrganizationUsers);
    access.owner = Some(ALICE);
    access.people.insert(ALICE, SessionRole::Host);
    known.room = Some(access);
    let mut session = Resource { room: Some(ROOM), ..resource(ResourceKind::Session, Some(CLINIC)) };
    (session.own, session.grant) = (true, true);
    assert!(!court.allows(&known, Operation::ReadChat, &session));
    session.took_part = true;
    assert!(court.allows(&known, Operation::ReadChat, &session));
}

#[test]
fn a_policy_that_errors_denies() {
    let errs = r#"@id("yes") permit (principal, action, resource);
        @id("broken") forbid (principal is Operator, action == Action::"backup", resource)
        when { 9223372036854775807 + 1 > 0 };"#;
    let court = Court { policies: Policies::try_from_sources(&[errs]).unwrap() };
    let asks = |operation| court.asks(&Known::default(), &Actor::Operator, operation, &Resource::default());
    assert_eq!(asks(Operation::Backup), denied_by("error in broken"));
    assert_eq!(asks(Operation::Replay), Decision::Allow);
}

#[test]
fn what_cant_be_found_out_denies() {
    let court = Court::new();
    let mut known = knows(&[held(AccountRole::Owner, RoleScope::Organization)]);
    known.broken = true;
    let organization = resource(ResourceKind::Organization, None);
    let asks = |operation| court.asks(&known, &alice(), operation, &organization);
    assert_eq!(asks(Operation::ReadOrganization), denied_by("the directory can't be read: broken"));
    assert_eq!(asks(Operation::CreateRoom), denied_by("another kind of resource"));
}

#[test]
fn wrong_policies_are_refused() {
    for wrong in [
        "permit (principal, action, resource);",
        r#"@id("a") permit (principal, action, resource) when { principal.hat };"#,
        r#"@id("a") permit (principal, action == Action::"fly", resource);"#,
        r#"@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);"#,
        "not a policy",
    ] {
        assert!(Policies::try_from_sources(&[wrong]).is_err(), "{wrong}");
    }
}

fn record(secret: &ApiKeySecret) -> ApiKeyRecord {
    ApiKeyRecord {
        key: ApiKeyId(1),
        organization: ACME,
        user: ALICE,
        sha256: SecretHash(secret.sha256()),
        scopes: Scopes::default(),
        expires: None,
        revoked: false,
        last_used_day: None,
    }
}

#[test]
fn api_keys() {
    let key = ApiKeySecret::new(std::array::from_fn(|at| at as u8 * 7));
    let text = key.text();
    assert_eq!(text.len(), 6 + 8 + 1 + 43);
    assert_eq!(key.prefix(), &text[6..14]);
    let parsed = ApiKeySecret::parse(&text).unwrap();
    assert!(parsed.matches(&record(&key)));
    let other = ApiKeySecret::new([3; 37]);
    assert!(!other.matches(&record(&key)));
    assert_eq!(format!("{key:?}"), "ApiKeySecret(hidden)");
    for wrong in
        ["", "witan_", "witan_abcdefgh_", &text[1..], &text[..text.len() - 1], &text.to_uppercase(), "witan_é_x"]
    {
        assert_eq!(ApiKeySecret::parse(wrong).err(), Some(InvalidSecret::ApiKey), "{wrong}");
    }
}

#[test]
fn secrets_read_back() {
    let invitation = InvitationSecret::new([9; 16]);
    assert_eq!(InvitationSecret::parse(&invitation.text()).unwrap().sha256(), invitation.sha256());
    let resume = ResumeSecret::new(SESSION, ParticipantId(77), [8; 32]);
    let parsed = ResumeSecret::parse(&resume.text()).unwrap();
    assert_eq!((parsed.session, parsed.participant, parsed.sha256()), (SESSION, ParticipantId(77), resume.sha256()));
    assert_ne!(ResumeSecret::new(SESSION, ParticipantId(78), [8; 32]).sha256(), resume.sha256());
    assert_eq!(InvitationSecret::parse(&resume.text()).err(), Some(InvalidSecret::Invitation));
    assert_eq!(ResumeSecret::parse(&invitation.text()).err(), Some(InvalidSecret::Resume));
    assert!(ResumeSecret::parse("resume_").is_err());
}

fn token() -> JoinToken {
    JoinToken {
        id: TokenId(5),
        organization: ACME,
        session: SESSION,
        person: PersonId(6),
        user: None,
        invitation: Some(InvitationId(7)),
        password: None,
        role: SessionRole::Participant,
        lobby: true,
        moved: false,
    }
}

#[test]
fn join_tokens_hold_for_five_minutes() {
    let key = TokenKey::new([1; 32]);
    let text = key.sign(&token(), NOW).unwrap();
    assert_eq!(key.verify(&text, NOW), Ok(token()));
    assert_eq!(key.verify(&text, NOW.plus_seconds(299)), Ok(token()));
    let moved = JoinToken { moved: true, ..token() };
    assert_eq!(key.verify(&key.sign(&moved, NOW).unwrap(), NOW), Ok(moved));
    assert_eq!(key.verify(&text, NOW.plus_seconds(300)), Err(TokenError::Expired));
    // Made in the future: some clock is wrong, and it would hold for longer than it may.
    assert_eq!(key.verify(&text, Timestamp::from_seconds(1_799_999_000)), Err(TokenError::Invalid));
}

#[test]
fn a_changed_or_foreign_token_is_refused() {
    let key = TokenKey::new([1; 32]);
    let text = key.sign(&token(), NOW).unwrap();
    assert_eq!(TokenKey::new([2; 32]).verify(&text, NOW), Err(TokenError::Invalid));
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last character of the signature holds four bits that mean nothing, and base64url may not set them.
        assert_eq!(key.verify(&changed, NOW), Err(TokenError::Invalid), "at {at}");
    }
    for wrong in ["", ".", "..", "a.b.c", &text.replacen('.', "", 1)] {
        assert_eq!(key.verify(wrong, NOW), Err(TokenError::Invalid));
    }
    // `alg: none`, with the same claims.
    let claims = text.split('.').nth(1).unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    assert_eq!(key.verify(&unsigned, NOW), Err(TokenError::Invalid));
}

#[test]
fn the_key_of_tokens_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.key");
    assert!(matches!(TokenKey::open(&file), Err(TokenError::KeyFile(_))));
    let key = TokenKey::create(&file, [5; 32]).unwrap();
    assert!(matches!(TokenKey::create(&file, [6; 32]), Err(TokenError::KeyFile(_))));
    let again = TokenKey::open(&file).unwrap();
    assert_eq!(again.verify(&key.sign(&token(), NOW).unwrap(), NOW), Ok(token()));
    assert_eq!(again.derived_secret("resume a"), key.derived_secret("resume a"));
    assert_ne!(again.derived_secret("resume a"), key.derived_secret("resume b"));
    std::fs::write(&file, "witan-token-key-1 12").unwrap();
    assert!(matches!(TokenKey::open(&file), Err(TokenError::KeyFile(_))));
}

/// A figure for the docs, not a check: `cargo test -p witan-auth -- --ignored --nocapture speed`.
#[test]
#[ignore = "prints how long a decision takes"]
fn speed() {
    let mut court = Court::new();
    court.policies.checked = false;
    let mut known =
        knows(&[held(AccountRole::Admin, RoleScope::Organization), held(AccountRole::Host, RoleScope::Unit(CLINIC))]);
    known.room = Some(room(Who::OrganizationUsers));
    let session = Resource { room: Some(ROOM), ..resource(ResourceKind::Session, Some(WARD)) };
    for operation in [Operation::EndSession, Operation::ReadSession, Operation::ReadChat, Operation::ReadOrganization] {
        let about = Resource { kind: operation.resource(), ..session.clone() };
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(court.asks(&known, &alice(), operation, &about));
        }
        println!("{}: {:?}", operation.name(), start.elapsed() / 10_000);
    }
}
