//! Any event of any aggregate, and the way from older payload schemas to the newest.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    aggregate::{Aggregate, DecodeError, EventPayload},
    api_key::{ApiKey, ApiKeyEvent},
    audit::{self, AuditEvent},
    chat::{Chat, ChatEvent},
    invitation::{Invitation, InvitationEvent},
    media::{MediaEvent, SessionMedia},
    organization::{Organization, OrganizationEvent},
    person::{Person, PersonEvent},
    reservation::{Reservation, ReservationEvent},
    room::{Room, RoomEvent},
    session::{Session, SessionEvent},
    units::{Units, UnitsEvent},
    user::{User, UserEvent},
};

/// Any event of any aggregate: what a follower of the whole log matches on, without a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Organization(OrganizationEvent),
    Units(UnitsEvent),
    User(UserEvent),
    ApiKey(ApiKeyEvent),
    Room(RoomEvent),
    Invitation(InvitationEvent),
    Session(SessionEvent),
    Chat(ChatEvent),
    Media(MediaEvent),
    Person(PersonEvent),
    Reservation(ReservationEvent),
    Audit(AuditEvent),
}

impl Event {
    /// The event of a stored payload: `category` is its stream's, `kind` and `schema` are its envelope's.
    pub fn decode(category: &str, kind: &str, schema: u16, data: &[u8]) -> Result<Self, DecodeError> {
        let data = &upcast(category, kind, schema, data)?;
        match category {
            Organization::CATEGORY => OrganizationEvent::decode(kind, data).map(Self::Organization),
            Units::CATEGORY => UnitsEvent::decode(kind, data).map(Self::Units),
            User::CATEGORY => UserEvent::decode(kind, data).map(Self::User),
            ApiKey::CATEGORY => ApiKeyEvent::decode(kind, data).map(Self::ApiKey),
            Room::CATEGORY => RoomEvent::decode(kind, data).map(Self::Room),
            Invitation::CATEGORY => InvitationEvent::decode(kind, data).map(Self::Invitation),
            Session::CATEGORY => SessionEvent::decode(kind, data).map(Self::Session),
            Chat::CATEGORY => ChatEvent::decode(kind, data).map(Self::Chat),
            SessionMedia::CATEGORY => MediaEvent::decode(kind, data).map(Self::Media),
            Person::CATEGORY => PersonEvent::decode(kind, data).map(Self::Person),
            Reservation::CATEGORY => ReservationEvent::decode(kind, data).map(Self::Reservation),
            audit::CATEGORY => AuditEvent::decode(kind, data).map(Self::Audit),
            _ => Err(DecodeError::UnknownCategory(category.to_owned())),
        }
    }

    /// The event's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Organization(event) => event.kind(),
            Self::Units(event) => event.kind(),
            Self::User(event) => event.kind(),
            Self::ApiKey(event) => event.kind(),
            Self::Room(event) => event.kind(),
            Self::Invitation(event) => event.kind(),
            Self::Session(event) => event.kind(),
            Self::Chat(event) => event.kind(),
            Self::Media(event) => event.kind(),
            Self::Person(event) => event.kind(),
            Self::Reservation(event) => event.kind(),
            Self::Audit(event) => event.kind(),
        }
    }
}

/// One step: a payload of schema `from` becomes one of schema `from + 1`. The stored bytes stay as they are.
pub struct Upcaster {
    pub category: &'static str,
    pub kind: &'static str,
    pub from: u16,
    pub step: fn(Value) -> Value,
}

/// Every step there is; an event's newest schema is one more than its last step. When an event's struct changes, its
/// step comes here and its old golden file stays.
const UPCASTERS: &[Upcaster] = &[];

/// The schema version that an event of this kind is stored with now.
pub fn schema(category: &str, kind: &str) -> u16 {
    newest(UPCASTERS, category, kind)
}

/// The payload in its newest schema.
pub fn upcast<'a>(category: &str, kind: &str, schema: u16, data: &'a [u8]) -> Result<Cow<'a, [u8]>, DecodeError> {
    upcast_by(UPCASTERS, category, kind, schema, data)
}

fn newest(table: &[Upcaster], category: &str, kind: &str) -> u16 {
    table
        .iter()
        .filter(|step| step.category == category && step.kind == kind)
        .map(|step| step.from + 1)
        .max()
        .unwrap_or(1)
}

fn upcast_by<'a>(
    table: &[Upcaster],
    category: &str,
    kind: &str,
    schema: u16,
    data: &'a [u8],
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let newest = newest(table, category, kind);
    if schema == newest {
        return Ok(Cow::Borrowed(data));
    }
    let unknown = || DecodeError::UnknownSchema { kind: kind.to_owned(), schema, newest };
    if schema == 0 || schema > newest {
        return Err(unknown());
    }
    let shape = |source| DecodeError::Shape { kind: kind.to_owned(), source };
    let mut value: Value = serde_json::from_slice(data).map_err(shape)?;
    for from in schema..newest {
        let step = table.iter().find(|step| step.category == category && step.kind == kind && step.from == from);
        value = (step.ok_or_else(unknown)?.step)(value);
    }
    serde_json::to_vec(&value).map(Cow::Owned).map_err(shape)
}

#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Upcaster] = &[
        Upcaster { category: "room", kind: "RoomPainted", from: 1, step: colour_has_a_name },
        Upcaster { category: "room", kind: "RoomPainted", from: 2, step: colour_is_a_list },
    ];

    fn colour_has_a_name(mut value: Value) -> Value {
        value["colour"] = value["color"].take();
        value
    }

    fn colour_is_a_list(mut value: Value) -> Value {
        value["colours"] = Value::Array(vec![value["colour"].take()]);
        value
    }

    #[test]
    fn an_old_payload_goes_through_every_step() {
        let read = |schema, data: &str| {
            let bytes = upcast_by(TABLE, "room", "RoomPainted", schema, data.as_bytes()).unwrap().into_owned();
            serde_json::from_slice::<Value>(&bytes).unwrap()["colours"].clone()
        };
        assert_eq!(read(1, r#"{"color":"red"}"#), serde_json::json!(["red"]));
        assert_eq!(read(2, r#"{"colour":"red"}"#), serde_json::json!(["red"]));
        assert_eq!(read(3, r#"{"colours":["red","blue"]}"#), serde_json::json!(["red", "blue"]));
    }

    #[test]
    fn the_newest_payload_is_not_touched() {
        let data = br#"{ "colours" : [] }"#;
        assert!(matches!(upcast_by(TABLE, "room", "RoomPainted", 3, data), Ok(Cow::Borrowed(same)) if same == data));
        assert!(matches!(upcast_by(TABLE, "room", "Other", 1, data), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn every_golden_file_is_an_event() {
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let mut count = 0;
        for folder in std::fs::read_dir(golden).unwrap() {
            let folder = folder.unwrap();
            let category = folder.file_name().into_string().unwrap();
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                let (kind, schema) = name.strip_suffix(".json").unwrap().split_once(".v").unwrap();
                let data = std::fs::read(file.path()).unwrap();
                let event = Event::decode(&category, kind, schema.parse().unwrap(), &data)
                    .unwrap_or_else(|error| panic!("{category}/{name}: {error}"));
                assert_eq!(event.kind(), kind);
                count += 1;
            }
        }
        assert!(count > 40, "only {count} golden files");
    }

    #[test]
    fn what_is_not_known_is_an_error_without_its_values() {
        assert!(matches!(Event::decode("nothing", "X", 1, b"{}"), Err(DecodeError::UnknownCategory(_))));
        assert!(matches!(Event::decode("room", "X", 1, b"{}"), Err(DecodeError::UnknownKind { .. })));
        let error = Event::decode("room", "RoomPersonRemoved", 1, br#"{"user":"Anna Meier"}"#).unwrap_err();
        assert_eq!(error.to_string(), "RoomPersonRemoved does not have its shape: data error at line 1, column 21");
    }

    #[test]
    fn a_schema_that_nobody_knows_is_an_error() {
        for schema in [0, 4] {
            let read = upcast_by(TABLE, "room", "RoomPainted", schema, b"{}");
            assert!(matches!(read, Err(DecodeError::UnknownSchema { newest: 3, .. })));
        }
    }
}
