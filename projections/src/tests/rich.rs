//! Values with everything in them that a row can hold.

use std::collections::{BTreeMap, BTreeSet};

use witan_domain::{
    AccountRole, AliasId, RoleScope, SessionRole, Timestamp, UnitId,
    api_key::CreateApiKey,
    invitation::{CreateInvitation, InvitationDetails},
    organization::{CreateOrganization, OrganizationDetails, OrganizationKind, OwnText},
    policy::{Grant, Listing, PasswordHash, PolicyLevel, Rules, Who},
    room::{AddRoomPerson, CreateRoom, RoomDetails, SetRoomPolicies, SetRoomSettings},
    session::Opener,
    settings::{
        DuplicateEntry, EffectiveSettings, Layout, Level, Purpose, RecordingForm, RecordingMode, SettingName,
        SettingValue, WhenHostLeaves, WhoMayPublish,
    },
    text::{SecretHash, Slug},
    units::{CreateUnit, UnitDetails},
    user::{CreateUser, GrantRole, UserDetails},
};

use super::story::*;

/// Every setting, with a value that is not what is built in, and some locked.
pub fn level() -> Level {
    let values = [
        SettingValue::ParticipantsMax(7),
        SettingValue::DurationMaxMinutes(61),
        SettingValue::EmptyTimeoutMinutes(3),
        SettingValue::WaitForHost(true),
        SettingValue::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 5 }),
        SettingValue::Lobby(true),
        SettingValue::DuplicateEntry(DuplicateEntry::Allow),
        SettingValue::Recording(RecordingMode::OnDemand),
        SettingValue::RecordingForm(RecordingForm::Composite),
        SettingValue::ConsentBeforeRecording(false),
        SettingValue::Transcription(Some("de-CH".into())),
        SettingValue::Chat(false),
        SettingValue::ScreenShare(false),
        SettingValue::WhoMayPublish(WhoMayPublish::Hosts),
        SettingValue::Layout(Layout::Speaker),
        SettingValue::Registry(true),
        SettingValue::RetentionClass("record-20-years".into()),
        SettingValue::Profile("narrow".into()),
        SettingValue::Skin("dark".into()),
    ];
    assert_eq!(values.len(), SettingName::ALL.len(), "a setting is missing here");
    Level::setting(values).locking([SettingName::Registry, SettingName::Transcription])
}

/// Every kind of grant, set and as floor.
pub fn policies() -> PolicyLevel {
    let password = PasswordHash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo".into());
    let open = vec![Grant::to(Who::NamedPeople), Grant::to(Who::UnitUsers([CARDIOLOGY, UnitId(22)].into()))];
    let join = vec![
        Grant::to(Who::OrganizationUsers),
        Grant::by_lobby(Who::UnitUsers([CARDIOLOGY].into())),
        Grant::to(Who::NamedPeople),
        Grant::by_lobby(Who::Invitation),
        Grant::by_lobby(Who::Password(password)),
        Grant::by_lobby(Who::Anyone),
    ];
    PolicyLevel {
        set: Rules { open: Some(open), join: Some(join.clone()), list: Some(Listing::Private) },
        floor: Rules { open: None, join: Some(join), list: Some(Listing::Organization) },
    }
}

pub fn company(slug: &str) -> OrganizationDetails {
    OrganizationDetails {
        slug: Slug::try_new(slug).unwrap(),
        kind: OrganizationKind::Company,
        full_name: OwnText::Plain("Clinic of the North".into()),
        alias: Some("The clinic".into()),
        tax_id: Some(OwnText::Plain("CHE-123".into())),
        postal_address: None,
        logo_url: Some("https://clinic.example/logo.svg".into()),
        time_zone: "Europe/Zurich".into(),
        locale: "de-CH".into(),
        currency: "CHF".into(),
        billing_day: 28,
        plan: "standard".into(),
    }
}

pub fn person_organization(slug: &str) -> OrganizationDetails {
    OrganizationDetails {
        kind: OrganizationKind::Person(DOCTOR),
        full_name: OwnText::Private(private(DOCTOR, "Anna")),
        tax_id: Some(OwnText::Private(private(DOCTOR, "123"))),
        postal_address: Some(OwnText::Private(private(DOCTOR, "a street"))),
        ..company(slug)
    }
}

pub fn create_organization(
    organization: witan_domain::OrganizationId,
    details: OrganizationDetails,
) -> CreateOrganization {
    CreateOrganization { organization, details, owner: ANNA }
}

pub fn create_unit(unit: UnitId, parent: Option<UnitId>) -> CreateUnit {
    let details = UnitDetails {
        slug: Slug::try_new(format!("unit-{}", unit.0)).unwrap(),
        full_name: "Cardiology".into(),
        description: "Hearts".into(),
        address: Some("Wing B".into()),
    };
    CreateUnit { unit, parent, details }
}

pub fn create_user() -> CreateUser {
    let details = UserDetails {
        login_alias: AliasId(5),
        login: private(DOCTOR, "anna"),
        name: private(DOCTOR, "Anna"),
        email: Some(private(DOCTOR, "anna@clinic.example")),
        external_id: Some(private(DOCTOR, "4711")),
        unit: Some(CARDIOLOGY),
    };
    CreateUser { organization: CLINIC, user: ANNA, person: DOCTOR, details, unit_living: true }
}

/// Every role that an account can hold itself, some in a unit, some for a time.
pub fn grant_roles() -> Vec<GrantRole> {
    let in_unit = [AccountRole::UnitAdmin, AccountRole::Host, AccountRole::Member];
    let roles = AccountRole::ALL.into_iter().filter(|role| *role != AccountRole::Owner);
    roles
        .map(|role| GrantRole {
            role,
            scope: if in_unit.contains(&role) { RoleScope::Unit(CARDIOLOGY) } else { RoleScope::Organization },
            expires_at: (role == AccountRole::Auditor).then(|| Timestamp::from_seconds(2_000_000_000)),
            unit_living: true,
            person_erased: false,
            now: Timestamp(0),
        })
        .collect()
}

pub fn create_key() -> CreateApiKey {
    CreateApiKey {
        organization: CLINIC,
        key: KEY,
        user: ANNA,
        user_active: true,
        name: "the desk".into(),
        prefix: "abcd1234".into(),
        secret_sha256: SecretHash([9; 32]),
        scopes: BTreeSet::from(["organization:read".to_owned(), "users:read".to_owned()]),
        expires_at: Some(Timestamp::from_seconds(2_000_000_000)),
        now: Timestamp(0),
    }
}

pub fn create_room() -> CreateRoom {
    let details = RoomDetails {
        name: "Room 1".into(),
        slug: Slug::try_new("room-1").unwrap(),
        description: "With a view".into(),
        purpose: Purpose::Consultation,
        owner: ANNA,
        logo_url: Some("https://clinic.example/room.svg".into()),
        not_before: Some(Timestamp(1)),
        not_after: Some(Timestamp::from_seconds(3_000_000_000)),
    };
    let (unit_living, owner_active) = (true, true);
    CreateRoom { organization: CLINIC, room: ROOM, unit: CARDIOLOGY, unit_living, details, owner_active }
}

pub fn set_room_settings() -> SetRoomSettings {
    SetRoomSettings { settings: level(), locked_above: BTreeSet::new() }
}

pub fn set_room_policies() -> SetRoomPolicies {
    SetRoomPolicies { policies: policies(), floor_above: Rules::default() }
}

pub fn add_people() -> Vec<AddRoomPerson> {
    let people = SessionRole::ALL.into_iter().zip(200..);
    people.map(|(role, n)| AddRoomPerson { user: witan_domain::UserId(n), role, user_active: true }).collect()
}

pub fn create_invitation() -> CreateInvitation {
    let details = InvitationDetails {
        person: PATIENT,
        display_name: private(PATIENT, "Pat"),
        email: Some(private(PATIENT, "pat@example.org")),
        external_id: None,
        role: SessionRole::Guardian,
        not_before: Timestamp::from_seconds(1_600_000_000),
        not_after: Timestamp::from_seconds(1_610_000_000),
    };
    CreateInvitation {
        organization: CLINIC,
        invitation: INVITATION,
        room: ROOM,
        room_living: true,
        details,
        secret_sha256: SecretHash([8; 32]),
        now: Timestamp::from_seconds(1_600_000_000),
    }
}

/// Settings of a session that come from every level there is.
pub fn effective_settings() -> EffectiveSettings {
    let level = level();
    let mut settings = witan_domain::settings::resolve(
        Purpose::Webinar,
        &Level::setting([SettingValue::Skin("dark".into())]),
        &[(CARDIOLOGY, &Level::setting([SettingValue::ScreenShare(false)]))],
        &Level { set: BTreeMap::new(), locked: level.locked },
    );
    settings.set_in_session(SettingValue::Layout(Layout::Grid));
    settings
}

pub fn open_session() -> witan_domain::room::OpenSession {
    witan_domain::room::OpenSession {
        session: SESSION,
        organization_active: true,
        settings: effective_settings(),
        opened_by: Opener::User(ANNA),
        record: Some(private(PATIENT, "file")),
        continues: None,
        now: Timestamp::from_seconds(1_700_000_000),
    }
}
