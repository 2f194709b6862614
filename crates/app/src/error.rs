//! The three kinds of no, and what each shows outside.

use witan_domain::aggregate::{DecodeError, Rejection};
use witan_event_store::{AppendError, ReadError};
use witan_vault::VaultError;

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid credentials came with the request.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// One sentence for every refusal; which policy refused stands in the audit trail under the reference.
    #[error("You are not allowed to do this (reference {reference}).")]
    Forbidden { reference: String },
    /// There is none, or none of the caller's organization: the same answer.
    #[error("There is no {what} with this id.")]
    NotFound { what: &'static str },
    /// A value of the domain: the caller sees the code, the field and the sentence.
    #[error("{message}")]
    Rejected { code: &'static str, field: Option<String>, message: String },
    /// The caller's expected version is not the stream's.
    #[error("Expected version {expected}, but this was changed meanwhile: it is at version {actual}.")]
    VersionConflict { expected: u64, actual: i64 },
    /// Others keep changing the same thing.
    #[error("This is being changed by others too; nothing was done. Please try again.")]
    Contention,
    #[error("This idempotency key was used with another input. Use a new key for a new request.")]
    IdempotencyKeyReused,
    /// Not all of what was asked is done, and trying again later may help. Of a process of steps, the first may be.
    #[error("{0}")]
    Unavailable(String),
    /// Recorded or not, nobody can tell before a restart.
    #[error("The outcome is unknown: the server could not make sure that this is on disk, and has stopped writing.")]
    OutcomeUnknown,
    /// Opaque outside; its whole chain goes to the log.
    #[error("Something went wrong inside the server.")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub fn fault(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Fault(Box::new(source))
    }

    /// Of a process of steps, the first may be recorded when there is no room for the next: nothing is said of that.
    fn disk_full() -> Self {
        Self::Unavailable(
            "The server's disk is full: this was not done, or not to its end. Writes go on when there is room; the same \
             request with its idempotency key then goes on where it was cut."
                .into(),
        )
    }

    /// A problem with one field of the input, found before any command was made.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Rejected { code: "INVALID_INPUT", field: Some(field.into()), message: message.into() }
    }

    pub fn rejected(rejection: impl Rejection) -> Self {
        Self::Rejected {
            code: rejection.code(),
            field: rejection.field().map(str::to_owned),
            message: rejection.to_string(),
        }
    }

    /// The stable code in the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden { .. } => "FORBIDDEN",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Rejected { code, .. } => code,
            Self::VersionConflict { .. } => "VERSION_CONFLICT",
            Self::Contention => "CONTENTION",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::Fault(_) => "INTERNAL",
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::fault(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::fault(error)
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Full => Self::disk_full(),
            VaultError::Stopped(why) => {
                tracing::error!(why, "the vault takes no more writes");
                Self::Unavailable("The server takes no writes until it is restarted.".into())
            }
            VaultError::PersonErased(_) => Self::Rejected {
                code: "PERSON_ERASED",
                field: None,
                message: "This person's data was erased: nothing more can be recorded about them.".into(),
            },
            error => Self::fault(error),
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Contention,
            AppendError::Full => Self::disk_full(),
            AppendError::OutcomeUnknown => Self::OutcomeUnknown,
            AppendError::Stopped(why) => {
                tracing::error!(why, "the event store takes no more writes");
                Self::Unavailable("The server takes no writes until it is restarted.".into())
            }
            AppendError::Invalid(_) => Self::fault(error),
        }
    }
}

/// The error and all that caused it, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
