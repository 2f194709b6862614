//! The waiting desk of a unit: where an invitee waits while the room has no live session. The invitation's secret is the right,
//! as for exchanging it; when a session is live, that is how they come in.

use witan_auth::Operation;
use witan_domain::{
    InvitationId, OrganizationId, RoomId, SessionId, Timestamp,
    invitation::{Invitation, InvitationState, LeaveDesk, Wait, WaitAtDesk},
};

use crate::{App, Error, Outcome, Request, access::Invited, entry::Introduction, invitations::Shown};

/// Where an invitee stands.
pub struct AtDesk {
    pub invitation: InvitationId,
    /// The newest wait; none where they never waited.
    pub wait: Option<Wait>,
    /// When the wait that goes on is over by itself.
    pub times_out_at: Option<Timestamp>,
    /// The session that is live in the room: for which the invitation is exchanged.
    pub session: Option<SessionId>,
}

impl App {
    /// Waits at the desk. Where a session is live already there is nothing to wait for, and nothing is recorded.
    pub async fn wait_at_desk(
        &self,
        request: &Request,
        invitation: InvitationId,
        secret: &str,
        who: &Introduction,
    ) -> Result<(AtDesk, Outcome<Invitation>), Error> {
        let (name, device) = who.checked()?;
        let shown = self.shown_invitation(invitation, secret)?;
        let request = &shown.within(request);
        let task = self.begin_shown(request, &shown, Operation::WaitAtDesk).await?;
        if let Some(position) = task.answered()? {
            let state = task.state().clone();
            return Ok((self.at_desk(&shown, &state)?, task.unchanged(Some(position))));
        }
        let good = task.state().good_at(task.now()).map_err(Error::rejected)?;
        let room = self.room_state(shown.organization, shown.facts.room)?;
        let facts = room.facts().map_err(Error::rejected)?;
        self.invited_access(request, facts, Invited::at(good, task.now()))?;
        if self.live_session(shown.organization, shown.facts.room)?.is_some() {
            let state = task.state().clone();
            return Ok((self.at_desk(&shown, &state)?, task.unchanged(None)));
        }
        let person = shown.facts.details.person;
        let protect = |field, text| self.protect(shown.organization, person, task.stream(), field, text);
        let command = WaitAtDesk {
            secret_sha256: shown.facts.secret_sha256,
            room_living: room.is_living(),
            display_name: protect("display_name", name)?,
            device: device.map(|device| protect("device", device)).transpose()?,
            now: task.now(),
        };
        let outcome = task.finish(&command.into()).await?;
        Ok((self.at_desk(&shown, &outcome.state)?, outcome))
    }

    /// Goes away from the desk, also when the invitation's time is over.
    pub async fn leave_desk(
        &self,
        request: &Request,
        invitation: InvitationId,
        secret: &str,
    ) -> Result<(AtDesk, Outcome<Invitation>), Error> {
        let shown = self.shown_invitation(invitation, secret)?;
        let request = &shown.within(request);
        let task = self.begin_shown(request, &shown, Operation::LeaveDesk).await?;
        let outcome = task.finish(&LeaveDesk { secret_sha256: shown.facts.secret_sha256 }.into()).await?;
        Ok((self.at_desk(&shown, &outcome.state)?, outcome))
    }

    /// Where the invitee stands: asked again and again while they wait.
    pub async fn desk_wait(&self, request: &Request, invitation: InvitationId, secret: &str) -> Result<AtDesk, Error> {
        let shown = self.shown_invitation(invitation, secret)?;
        self.authorise(request, Operation::DeskWait, &shown.resource()).await?;
        let state = InvitationState::Present(Box::new(shown.facts.clone()));
        state.good_at(self.sources.now()).map_err(Error::rejected)?;
        self.at_desk(&shown, &state)
    }

    fn at_desk(&self, shown: &Shown, state: &InvitationState) -> Result<AtDesk, Error> {
        Ok(AtDesk {
            invitation: shown.facts.invitation,
            wait: state.facts().map_err(Error::rejected)?.wait.clone(),
            times_out_at: state.wait_times_out_at(),
            session: self.live_session(shown.organization, shown.facts.room)?,
        })
    }

    /// The session that is live in the room: one that has ended a moment ago the room may not have let go of yet.
    fn live_session(&self, organization: OrganizationId, room: RoomId) -> Result<Option<SessionId>, Error> {
        let room = self.room_state(organization, room)?;
        let Some(session) = room.facts().map_err(Error::rejected)?.live_session else { return Ok(None) };
        match self.session_state(organization, session) {
            Ok(state) => Ok(state.live().map(|live| live.session)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
