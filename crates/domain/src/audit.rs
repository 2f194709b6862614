//! What the audit trail keeps beside the events of the things themselves: refusals and reads of content.
//!
//! Stream `audit-{organization}`. Nothing is decided from it, so it has no state and no decider: its events are appended
//! as they come. Who it was stands in the envelope.

use serde::{Deserialize, Serialize};

use crate::{SessionId, events};

pub const CATEGORY: &str = "audit";

/// An authenticated actor asked for something that no policy allows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRefused {
    /// The operation's name, for example `endSession`.
    pub operation: String,
    /// What it was asked of: an id.
    pub resource: String,
    /// The policy that forbade it; none when no policy permitted it.
    pub policy: Option<String>,
    /// What the actor was told, so that both can be brought together.
    pub reference: String,
    /// How many earlier refusals were too many to record one by one, since the last one recorded.
    pub unrecorded_before: u64,
}

/// Someone read content of a session. One event per reader, session, kind and hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRead {
    pub session: SessionId,
    pub content: Content,
    /// The hour, counted from the Unix epoch.
    pub hour: u64,
    /// How many reads of the same kind by the same reader the last such event stands for beyond its first.
    pub more_before: u64,
}

/// What of a session is content: open only to who took part, or has a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Chat,
}

events! {
    /// What the audit trail keeps for itself.
    pub enum AuditEvent of "audit" {
        AccessRefused,
        ContentRead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrganizationId, Timestamp, aggregate::Aggregate};

    /// The golden files are checked for aggregates; this one exists for that alone.
    struct Audit;

    impl Aggregate for Audit {
        type Id = OrganizationId;
        type Command = ();
        type Event = AuditEvent;
        type Rejection = Never;
        type State = ();
        const CATEGORY: &'static str = CATEGORY;

        fn decide((): &(), (): &()) -> Result<Vec<AuditEvent>, Never> {
            Ok(Vec::new())
        }

        fn evolve((): (), _: &AuditEvent, _: Timestamp) {}
    }

    #[derive(Debug, thiserror::Error)]
    #[error("never")]
    struct Never;

    impl crate::aggregate::Rejection for Never {
        fn code(&self) -> &'static str {
            "NEVER"
        }
    }

    #[test]
    fn golden_files() {
        crate::golden::check::<Audit>(&[
            AccessRefused {
                operation: "endSession".into(),
                resource: SessionId(7).to_string(),
                policy: None,
                reference: "request_00000000000000000000000001".into(),
                unrecorded_before: 3,
            }
            .into(),
            ContentRead { session: SessionId(7), content: Content::Chat, hour: 498_000, more_before: 0 }.into(),
        ]);
    }
}
