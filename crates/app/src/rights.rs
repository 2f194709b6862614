//! Who was moved to another session, whether an account is active, and a session as it is now.

use witan_auth::JoinToken;
use witan_domain::{
    Actor, Aggregate, OrganizationId, SessionId, TokenId, UserId,
    invitation::{Invitation, InvitationState, InvitationStatus},
    participant::{Participant, ParticipantState, ParticipantStep},
    policy::Access,
    session::Session,
};

use crate::{
    App, Error, Request,
    join_tokens::{Ticket, right_is_gone},
    streams::Now,
};

impl App {
    /// A session as its stream tells it now.
    pub(crate) fn session_state(
        &self,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<Now<Session>, Error> {
        let loaded = self.load_own::<Session>(Some(organization), &Session::stream(session))?;
        if loaded.version.is_none() {
            return Err(Error::NotFound { what: "session" });
        }
        Ok(Now(loaded))
    }

    pub(crate) fn is_active(&self, organization: OrganizationId, user: UserId) -> Result<bool, Error> {
        let account = self.directory.account(organization, user).map_err(Error::fault)?;
        Ok(account.is_some_and(|account| account.active))
    }

    /// The actor's own participant, if a host has moved them to this session.
    pub(crate) fn moved_here(&self, request: &Request, to: SessionId) -> Result<Option<Participant>, Error> {
        let Actor::Participant { organization, session, participant } = request.actor else { return Ok(None) };
        let state = self.session_state(organization, session)?;
        let there = state.record().and_then(|record| record.participant(participant));
        let here = |there: &&Participant| {
            there.timeline.last().is_some_and(|moment| moment.step == ParticipantStep::Moved { to })
        };
        Ok(there.filter(here).cloned())
    }

    /// In the role that they had where they come from.
    pub(crate) fn moved_ticket(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        there: &Participant,
    ) -> Result<Ticket, Error> {
        self.ticket(JoinToken {
            id: TokenId(self.id_for(request, &format!("join token {session}"))),
            organization,
            session,
            person: there.person,
            user: there.user,
            invitation: there.invitation,
            password: None,
            role: there.role,
            lobby: false,
            moved: true,
        })
    }

    /// Whoever was sent here by a host waits for nobody, unless they were removed since. The invitation was for another
    /// place and time; that it was revoked counts here too.
    pub(crate) fn access_by_move(&self, token: &JoinToken) -> Result<Access, Error> {
        if let Some(invitation) = token.invitation {
            let loaded = self.load_own::<Invitation>(Some(token.organization), &Invitation::stream(invitation))?;
            if matches!(&loaded.state, InvitationState::Present(facts) if facts.status == InvitationStatus::Revoked) {
                return Err(right_is_gone());
            }
        }
        let removed = |there: &Participant| there.person == token.person && there.state == ParticipantState::Removed;
        let target = self.load_own::<Session>(Some(token.organization), &Session::stream(token.session))?;
        let lobby = target.state.live().is_some_and(|live| live.participants.iter().any(removed));
        Ok(Access { role: token.role, lobby })
    }
}
