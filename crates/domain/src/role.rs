//! Roles: what someone is in an organization, and what someone is in a session.

use serde::{Deserialize, Serialize};

use crate::UnitId;

/// What someone is in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRole {
    /// Leads the session: admits, moderates, ends it.
    Host,
    /// Moderates beside the host.
    CoHost,
    Participant,
    Interpreter,
    /// Is there for someone who can't decide alone, and may consent for them.
    Guardian,
    /// Sees and hears, publishes nothing.
    Observer,
}

impl SessionRole {
    pub const ALL: [Self; 6] =
        [Self::Host, Self::CoHost, Self::Participant, Self::Interpreter, Self::Guardian, Self::Observer];

    /// Whether this role admits, mutes, removes, locks and ends.
    pub const fn moderates(self) -> bool {
        match self {
            Self::Host | Self::CoHost => true,
            Self::Participant | Self::Interpreter | Self::Guardian | Self::Observer => false,
        }
    }

    /// Whether this role may ever publish audio, video or a screen.
    pub const fn may_publish(self) -> bool {
        match self {
            Self::Host | Self::CoHost | Self::Participant | Self::Interpreter | Self::Guardian => true,
            Self::Observer => false,
        }
    }
}

/// What someone is in an organization, or in a unit and the units below it. None of them opens content by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRole {
    Owner,
    Admin,
    UnitAdmin,
    /// Opens rooms and moderates their sessions.
    Host,
    Member,
    /// Reads history, manifests and proofs; may be external and time-boxed.
    Auditor,
    /// Legal holds, erasures, the access log.
    PrivacyOfficer,
    /// Usage and invoices; sees participants as numbers.
    Billing,
    /// Keys and webhooks.
    Integrator,
}

impl AccountRole {
    pub const ALL: [Self; 9] = [
        Self::Owner,
        Self::Admin,
        Self::UnitAdmin,
        Self::Host,
        Self::Member,
        Self::Auditor,
        Self::PrivacyOfficer,
        Self::Billing,
        Self::Integrator,
    ];
}

/// Where an account role holds: everywhere in the organization, or in one unit and the units below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleScope {
    Organization,
    Unit(UnitId),
}
