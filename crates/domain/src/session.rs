//! One live conference in a room: its life, its participants, its moderation. Stream `session-{session}`.
//!
//! ```text
//! PREPARING ──> READY ──> WAITING <──> IN_PROGRESS <──> INTERRUPTED
//!     └──────────┴──────────┴───────────────┴───────────────┴──> CLOSED
//! ```
//!
//! | look for | in |
//! | --- | --- |
//! | what one may ask | [`command`] |
//! | what happened | [`event`] |
//! | why it says no | [`rejection`] |
//! | what is known, for commands and for the read model | [`state`], [`participant`](crate::participant) |
//! | preparing, limits, settings, ending | `life` |
//! | knocking, admitting, denying | `lobby` |
//! | joining, dropping, reconnecting, leaving | `entry` |
//! | hold, move, remove, mute, roles, lock | `moderation` |
//! | what a person's new entry takes over from the one before | `standing` |
//! | consent | `consent` |
//! | the state after an event: status and counts | `evolve` |
//! | what happens by itself, and when | [`deadline`](crate::deadline) |
//!
//! Whether the caller *may* ask is not decided here: `app` has authorised the command before.

pub mod command;
mod consent;
mod entry;
pub mod event;
mod evolve;
mod life;
mod lobby;
mod moderation;
pub mod rejection;
mod standing;
pub mod state;

#[cfg(test)]
mod machine;
#[cfg(test)]
pub(crate) mod scene;

pub use command::*;
pub use event::*;
pub use rejection::SessionRejection;
pub use state::{Finish, SessionRecord, SessionState, SessionStatus, SettingChange, StatusChange};

use crate::{Aggregate, SessionId, Timestamp};

/// How many may wait in the lobby at once.
pub const KNOCKS_WAITING_MAX: usize = 200;
/// How many may have been admitted, without a lobby or before, and not have come in yet, when one more knocks.
pub const ADMITTED_WAITING_MAX: usize = 1_000;
/// How many knocks and direct joins a session takes in all, so that its stream stays short.
pub const ARRIVALS_MAX: usize = 10_000;
/// How many of those who wait may be there without an account or an invitation: whoever is expected finds a place.
pub const UNINVITED_WAITING_MAX: usize = 100;
/// The same of those who were admitted and have not come in.
pub const UNINVITED_ADMITTED_MAX: usize = 500;
/// How many of all who come may do so without an account or an invitation: strangers can't use a session up.
pub const UNINVITED_ARRIVALS_MAX: usize = 5_000;
/// How many of these only those who moderate get: whoever else comes again and again can't keep a host out.
pub const ARRIVALS_KEPT_FOR_MODERATORS: usize = 500;
/// How many of these are one person's at most.
pub const ARRIVALS_OF_PERSON_MAX: usize = 100;
/// How often one participant reconnects after a drop; then they come in anew.
pub const RECONNECTIONS_MAX: usize = 1_000;
/// How many consents one participant has in all, those that were replaced or withdrawn included.
pub const CONSENTS_MAX: usize = 100;
/// By how many minutes one command may extend a session.
pub const EXTENSION_MINUTES_MAX: u32 = 240;
/// How long the version of a consent's text may be.
pub const CONSENT_TEXT_VERSION_BYTES_MAX: usize = 64;

type Decision = Result<Vec<SessionEvent>, SessionRejection>;

/// What a command that asks for what already holds adds.
const NOTHING: Decision = Ok(Vec::new());

/// The decider.
pub struct Session;

impl Aggregate for Session {
    type Id = SessionId;
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Rejection = SessionRejection;
    type State = SessionState;
    const CATEGORY: &'static str = "session";

    fn decide(state: &SessionState, command: &SessionCommand) -> Decision {
        match (state, command) {
            (SessionState::Live(session), command) => decide_live(session, command),
            (SessionState::Absent, SessionCommand::PrepareSession(command)) => life::prepare_session(command),
            (SessionState::Closed(_), SessionCommand::PrepareSession(_)) => {
                Err(SessionRejection::SessionAlreadyPrepared)
            }
            (SessionState::Closed(_), command) if command.ends_session() => NOTHING,
            (SessionState::Absent | SessionState::Closed(_), _) => Err(SessionRejection::SessionNotLive),
        }
    }

    fn evolve(state: SessionState, event: &SessionEvent, at: Timestamp) -> SessionState {
        evolve::evolve(state, event, at)
    }
}

fn decide_live(session: &SessionRecord, command: &SessionCommand) -> Decision {
    use SessionCommand as C;
    match command {
        C::PrepareSession(command) => life::prepare_session_again(session, command),
        C::MarkSessionReady(_) => life::mark_session_ready(session),
        C::Knock(command) => lobby::knock(session, command),
        C::WithdrawKnock(command) => lobby::withdraw_knock(session, command),
        C::AdmitParticipant(command) => lobby::admit_participant(session, command),
        C::AdmitAll(_) => lobby::admit_all(session),
        C::DenyParticipant(command) => lobby::deny_participant(session, command),
        C::MarkKnockUnanswered(command) => lobby::mark_knock_unanswered(session, command),
        C::TimeOutKnock(command) => lobby::time_out_knock(session, command),
        C::JoinSession(command) => entry::join_session(session, command),
        C::DropParticipant(command) => entry::drop_participant(session, command),
        C::ReconnectParticipant(command) => entry::reconnect_participant(session, command),
        C::TimeOutReconnection(command) => entry::time_out_reconnection(session, command),
        C::LeaveSession(command) => entry::leave_session(session, command),
        C::HoldParticipant(command) => moderation::hold_participant(session, command),
        C::ReleaseParticipant(command) => moderation::release_participant(session, command),
        C::MoveParticipant(command) => moderation::move_participant(session, command),
        C::RemoveParticipant(command) => moderation::remove_participant(session, command),
        C::MuteParticipant(command) => moderation::mute_participant(session, command),
        C::UnmuteParticipant(command) => moderation::unmute_participant(session, command),
        C::MuteAll(command) => moderation::mute_all(session, command),
        C::ChangeParticipantRole(command) => moderation::change_participant_role(session, command),
        C::LockSession(_) => moderation::lock_session(session),
        C::UnlockSession(_) => moderation::unlock_session(session),
        C::ExtendSession(command) => life::extend_session(session, command),
        C::WarnOfLimit(command) => life::warn_of_limit(session, command),
        C::ChangeSessionSetting(command) => life::change_session_setting(session, command),
        C::GiveConsent(command) => consent::give_consent(session, command),
        C::WithdrawConsent(command) => consent::withdraw_consent(session, command),
        C::InterruptSession(_) => life::interrupt_session(session),
        C::ResumeSession(_) => life::resume_session(session),
        C::EndSession(command) => life::end_session(session, command),
        C::EndEmptySession(command) => life::end_empty_session(session, command.now),
        C::EndUnattendedSession(command) => life::end_unattended_session(session, command.now),
        C::EndOverlongSession(command) => life::end_overlong_session(session, command.now),
        C::EndHostlessSession(command) => life::end_hostless_session(session, command.now),
        C::EndUnrecoveredSession(command) => life::end_unrecovered_session(session, command.now),
    }
}
