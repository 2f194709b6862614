//! Identifiers: 128 bits, written as a type prefix and a ULID, for example `session_01JCY3V8Q6ZK9B2T4M5N6P7R8S`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use ulid::Ulid;

/// Why a text is not an identifier of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected \"{kind}_\" and 26 characters of Crockford base 32 (a ULID)")]
pub struct InvalidId {
    pub kind: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// What stands before the underscore in the text form.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), Ulid(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wrong = InvalidId { kind: $prefix };
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or(wrong.clone())?;
                // Of 26 times 5 bits the first two are none of the 128: set, they would name another's id a second way.
                if !ulid.starts_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
                    return Err(wrong);
                }
                Ulid::from_string(ulid).map(|ulid| Self(ulid.0)).map_err(|_| wrong)
            }
        }

        /// Text where people read it (JSON), 16 big-endian bytes where machines do.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.to_be_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(D::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
                }
            }
        }
    )*};
}

ids! {
    /// A tenant.
    OrganizationId "organization";
    /// A unit (team, department) in an organization's tree.
    UnitId "unit";
    /// An account.
    UserId "user";
    /// A human being whose personal data is protected: every user, invitee and guest is one.
    PersonId "person";
    /// A lasting place for sessions.
    RoomId "room";
    /// One person's invitation to one room.
    InvitationId "invitation";
    /// One live conference in a room.
    SessionId "session";
    /// One person's presence in one session.
    ParticipantId "participant";
    /// A join token: redeemed once, by the first knock or join.
    TokenId "token";
    /// One microphone, camera, screen or screen's sound that a participant sends.
    StreamId "stream";
    /// One stream as it is offered to one participant, by a media node.
    OfferId "offer";
    /// A chat message.
    MessageId "message";
    /// A key by which a program acts.
    ApiKeyId "key";
    /// One event, wherever it is stored.
    EventId "event";
    /// A random stand-in for something personal by which people are found (a login), kept in the vault.
    AliasId "alias";
    /// What ties together all that one request caused.
    CorrelationId "request";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = SessionId(0x0193_2b1c_0000_0000_0000_0000_0000_002a);
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        assert!(id.to_string().parse::<RoomId>().is_err());
        assert!("session_".parse::<SessionId>().is_err());
        let overflowing = id.to_string().replacen("session_0", "session_8", 1);
        assert!(overflowing.parse::<SessionId>().is_err(), "one id, one text");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
    }
}
