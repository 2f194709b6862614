//! Who does something. The actor of every event stands in its envelope.

use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, OrganizationId, ParticipantId, SessionId, UserId};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A user of an organization; `key` is the API key by which they came.
    User { organization: OrganizationId, user: UserId, key: Option<ApiKeyId> },
    /// Someone in (or knocking at) one session, by join token or resume secret.
    Participant { organization: OrganizationId, session: SessionId, participant: ParticipantId },
    /// witan itself: a reaction or a deadline.
    System,
    /// Whoever runs the deployment, at its command line. Has no tenant's data.
    Operator,
    /// Nobody that we know.
    Anonymous,
}

impl Actor {
    /// The organization that the actor belongs to, if it belongs to one.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::User { organization, .. } | Self::Participant { organization, .. } => Some(*organization),
            Self::System | Self::Operator | Self::Anonymous => None,
        }
    }
}
