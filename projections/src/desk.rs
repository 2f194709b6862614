//! Who waits at the desk of a unit: knocks without an answer, and invitees who came while their room has no live session.
//! Two indexes name the sessions and the invitations by which somebody waits; what is shown comes from their own rows.

use witan_domain::{
    InvitationId, OrganizationId, ParticipantId, Private, RoomId, SessionId, Timestamp, UnitId, room::RoomFacts,
    session::SessionRecord,
};

use crate::{Key, ProjectionError, ReadModels, rooms::INVITATIONS_WAITED_BY, sessions::WAITED_FOR};

/// How many sessions, and how many invitations, of one organization a look at a desk goes through; more than that are said
/// to be more.
const LOOKED_AT_MAX: usize = 10_000;

/// Someone who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub by: WaitsBy,
    pub unit: UnitId,
    pub room: RoomId,
    /// The session that is live in the room.
    pub session: Option<SessionId>,
    pub invitation: Option<InvitationId>,
    pub display_name: Private,
    pub since: Timestamp,
    pub alerted_at: Option<Timestamp>,
}

/// What they did, and so in whose stream their name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsBy {
    Knock(SessionId, ParticipantId),
    Invitation(InvitationId),
}

/// Who waits, the longest first, and whether there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingDesk {
    pub waiting: Vec<Waiting>,
    pub more: bool,
}

impl ReadModels {
    /// At most `max` of those who wait in this unit and the units below it.
    pub fn waiting_desk(
        &self,
        organization: OrganizationId,
        unit: UnitId,
        max: usize,
    ) -> Result<WaitingDesk, ProjectionError> {
        let Some(units) = self.find_units(organization)? else { return Ok(WaitingDesk::default()) };
        let mut waiting = self.knocks(organization)?;
        let invitees = self.invitees_at_desk(organization)?;
        let unseen = waiting.len() >= LOOKED_AT_MAX || invitees.len() >= LOOKED_AT_MAX;
        waiting.extend(invitees);
        waiting.retain(|one| units.state.path(one.unit).contains(&unit));
        waiting.sort_by_key(|one| (one.since, one.room));
        let more = unseen || waiting.len() > max;
        waiting.truncate(max);
        Ok(WaitingDesk { waiting, more })
    }

    fn knocks(&self, organization: OrganizationId) -> Result<Vec<Waiting>, ProjectionError> {
        let mut waiting = Vec::new();
        let sessions = self.rows(WAITED_FOR).list::<SessionId>(&Key::of(organization), None, false, LOOKED_AT_MAX)?;
        for (_, session) in sessions {
            let row = self.find_session(organization, session)?;
            waiting.extend(row.as_ref().and_then(|row| row.state.live()).into_iter().flat_map(of_session));
        }
        Ok(waiting)
    }

    fn invitees_at_desk(&self, organization: OrganizationId) -> Result<Vec<Waiting>, ProjectionError> {
        let mut waiting = Vec::new();
        let table = self.rows(INVITATIONS_WAITED_BY);
        for (_, id) in table.list::<InvitationId>(&Key::of(organization), None, false, LOOKED_AT_MAX)? {
            let Some(row) = self.find_invitation(organization, id)? else { continue };
            let (Some(wait), Ok(invitation)) = (row.state.waiting(), row.state.facts()) else { continue };
            let room = self.find_room(organization, invitation.room)?;
            let Some(room): Option<&RoomFacts> = room.as_ref().and_then(|row| row.state.facts().ok()) else { continue };
            waiting.push(Waiting {
                by: WaitsBy::Invitation(id),
                unit: room.unit,
                room: room.room,
                session: room.live_session,
                invitation: Some(id),
                display_name: wait.display_name.clone(),
                since: wait.since,
                alerted_at: wait.alerted_at,
            });
        }
        Ok(waiting)
    }
}

fn of_session(session: &SessionRecord) -> impl Iterator<Item = Waiting> {
    session.knocking().map(|there| Waiting {
        by: WaitsBy::Knock(session.session, there.participant),
        unit: session.unit,
        room: session.room,
        session: Some(session.session),
        invitation: there.invitation,
        display_name: there.display_name.clone(),
        since: there.since,
        alerted_at: there.alerted_at,
    })
}
