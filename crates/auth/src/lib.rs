//! May this actor do this? Cedar policies over facts from the [`Directory`], and the secrets and tokens by which actors
//! are known.
//!
//! Deny by default; other organizations always, except by invitation; a policy that errors denies. No account role opens
//! content by itself.

mod directory;
mod facts;
mod matrix;
mod operation;
mod password;
mod policies;
mod question;
mod secret;
#[cfg(test)]
mod tests;
mod token;

pub use directory::{Account, ApiKeyRecord, Directory, DirectoryError, HeldRole, RoomAccess};
pub use matrix::{COLUMNS, Row, markdown, matrix};
pub use operation::{Operation, OperationKind, ResourceKind, Scope, Scopes, UnknownScope};
pub use password::{InvalidPassword, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, Password, PasswordError, PasswordKey};
pub use policies::{Decision, Policies, PolicyError, Resource};
pub use secret::{ApiKeySecret, InvalidSecret, InvitationSecret, PREFIX_CHARS, ResumeSecret};
pub use token::{JOIN_TOKEN_SECONDS_MAX, JoinToken, TokenError, TokenKey};
