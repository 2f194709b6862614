//! Waiting at the desk: an invitee who comes while the room has no live session. One invitation is one person to one room, so
//! its own stream holds the wait.

use serde::{Deserialize, Serialize};

use super::{InvitationEvent, InvitationFacts, InvitationRejection, InvitationState, usable};
use crate::{
    Private, Timestamp,
    deadline::{KNOCK_ALERT_SECONDS, KNOCK_SECONDS_MAX},
    text::SecretHash,
};

// Commands.

/// Comes to the desk, since the room has no live session. Who waits already waits on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitAtDesk {
    /// The hash of the secret that the caller showed.
    pub secret_sha256: SecretHash,
    /// Whether the room exists in this organization and is not archived.
    pub room_living: bool,
    pub display_name: Private,
    /// What the person's browser says of itself.
    pub device: Option<Private>,
    pub now: Timestamp,
}

/// Goes away from the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveDesk {
    pub secret_sha256: SecretHash,
}

/// The system: nobody has opened the room yet, and whoever sits at the desk should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkWaitUnanswered {
    pub now: Timestamp,
}

/// The system: someone waited for too long, or the invitation's window has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutWait {
    pub now: Timestamp,
}

// Events.

/// The invitee waits at the desk of the room's unit: the room has no live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteeCameToDesk {
    pub display_name: Private,
    /// The browser or app, as it calls itself.
    pub device: Option<Private>,
}

/// The invitee waits no longer: they went away, or the invitation was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteeLeftDesk {}

/// The desk is alerted; the invitee waits on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitUnanswered {}

/// The invitee has waited for 15 minutes, or their window has closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitTimedOut {}

// State.

/// Someone's wait at the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub state: WaitState,
    pub display_name: Private,
    pub device: Option<Private>,
    pub since: Timestamp,
    /// When the desk was alerted because nobody had opened the room.
    pub alerted_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitState {
    Waiting,
    /// Went away, be it to the session; or the invitation was revoked.
    Left,
    /// Waited for too long.
    TimedOut,
}

impl Wait {
    pub(super) fn begun(came: &InviteeCameToDesk, at: Timestamp) -> Self {
        Self {
            state: WaitState::Waiting,
            display_name: came.display_name.clone(),
            device: came.device.clone(),
            since: at,
            alerted_at: None,
        }
    }
}

impl InvitationFacts {
    pub(super) fn end_wait(&mut self, state: WaitState) {
        if let Some(wait) = self.wait.as_mut().filter(|wait| wait.state == WaitState::Waiting) {
            wait.state = state;
        }
    }
}

impl InvitationState {
    /// When the desk is to be alerted of who waits; none once it was.
    pub fn wait_alerts_at(&self) -> Option<Timestamp> {
        let wait = self.waiting().filter(|wait| wait.alerted_at.is_none())?;
        Some(wait.since.plus_seconds(KNOCK_ALERT_SECONDS))
    }

    /// When the wait is over by itself: as a knock's, and at the latest when the invitation's window closes.
    pub fn wait_times_out_at(&self) -> Option<Timestamp> {
        let (wait, facts) = (self.waiting()?, self.facts().ok()?);
        Some(wait.since.plus_seconds(KNOCK_SECONDS_MAX).min(facts.details.not_after))
    }
}

// Decisions.

type Decision = Result<Vec<InvitationEvent>, InvitationRejection>;

pub(super) fn wait_at_desk(state: &InvitationState, command: &WaitAtDesk) -> Decision {
    state.shown(command.secret_sha256)?;
    let facts = state.good_at(command.now)?;
    if state.waiting().is_some() {
        return Ok(Vec::new());
    }
    if !command.room_living {
        return Err(InvitationRejection::RoomNotLiving);
    }
    usable(facts)?;
    for (field, value) in [("displayName", Some(&command.display_name)), ("device", command.device.as_ref())] {
        if value.is_some_and(|value| value.person != facts.details.person) {
            return Err(InvitationRejection::PrivateOfAnother { field });
        }
    }
    let (display_name, device) = (command.display_name.clone(), command.device.clone());
    Ok(vec![InviteeCameToDesk { display_name, device }.into()])
}

pub(super) fn leave_desk(state: &InvitationState, command: &LeaveDesk) -> Decision {
    state.shown(command.secret_sha256)?;
    Ok(while_waiting(state, InviteeLeftDesk {}))
}

pub(super) fn mark_wait_unanswered(state: &InvitationState, command: &MarkWaitUnanswered) -> Decision {
    let Some(at) = state.wait_alerts_at() else { return Ok(Vec::new()) };
    reached(at, command.now)?;
    Ok(while_waiting(state, WaitUnanswered {}))
}

pub(super) fn time_out_wait(state: &InvitationState, command: &TimeOutWait) -> Decision {
    let Some(at) = state.wait_times_out_at() else { return Ok(Vec::new()) };
    reached(at, command.now)?;
    Ok(while_waiting(state, WaitTimedOut {}))
}

fn while_waiting(state: &InvitationState, event: impl Into<InvitationEvent>) -> Vec<InvitationEvent> {
    state.waiting().map(|_| event.into()).into_iter().collect()
}

fn reached(at: Timestamp, now: Timestamp) -> Result<(), InvitationRejection> {
    if at <= now { Ok(()) } else { Err(InvitationRejection::DeadlineNotReached) }
}
