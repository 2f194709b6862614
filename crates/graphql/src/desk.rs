//! The waiting desk of a unit: for those who wait there, and for those who see who waits.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use futures_util::{Stream, stream};
use witan_app::{Outcome, desk::AtDesk as DomainAtDesk, entry::Introduction, units::unit_resource};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, InvitationId, UnitId,
    invitation::{Invitation as DomainInvitation, WaitState as DomainWaitState},
    session::Session as DomainSession,
};
use witan_projections::desk::{Waiting as WaitingRow, WaitingDesk as WaitingRows, WaitsBy};

use crate::{
    call::{Call, PrivateText, Services, id, shown, stored},
    mutation::{inputs, payloads},
    refusal,
    response::Subscriber,
    room::Room,
    scalars::{DateTime, IntoId, Position},
    subscription::allowed_while,
};

/// How many of those who wait one look shows.
const SHOWN_MAX: usize = 200;

/// What became of a wait at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainWaitState")]
pub enum WaitState {
    /// Waits.
    Waiting,
    /// Went away: to the session, or elsewhere.
    Left,
    /// Waited for 15 minutes, or until the invitation's window closed.
    TimedOut,
}

/// Where an invitee stands who comes to the desk.
#[derive(Clone, Debug, SimpleObject)]
pub struct AtDesk {
    /// The invitation's id: one waits by it.
    id: ID,
    /// What became of the newest wait; null where there was none.
    state: Option<WaitState>,
    /// When the newest wait began.
    since: Option<DateTime>,
    /// When the wait is over by itself; null once it is over.
    times_out_at: Option<DateTime>,
    /// The session that is live in the room: exchange the invitation for a join token now. Null while there is none.
    session_id: Option<ID>,
}

impl From<DomainAtDesk> for AtDesk {
    fn from(there: DomainAtDesk) -> Self {
        Self {
            id: there.invitation.into_id(),
            state: there.wait.as_ref().map(|wait| wait.state.into()),
            since: there.wait.as_ref().map(|wait| DateTime(wait.since)),
            times_out_at: there.times_out_at.map(DateTime),
            session_id: there.session.map(IntoId::into_id),
        }
    }
}

/// Who waits in a unit and the units below it.
pub struct WaitingDesk {
    unit: UnitId,
    rows: WaitingRows,
}

/// Who waits in a unit and the units below it.
#[Object]
impl WaitingDesk {
    /// The unit.
    async fn unit_id(&self) -> ID {
        self.unit.into_id()
    }

    /// At most 200 of them, who waits longest first: knocks without an answer, and invitees who came while their room has
    /// no live session.
    async fn waiting(&self) -> Vec<WaitingPerson> {
        self.rows.waiting.iter().cloned().map(|row| WaitingPerson { row }).collect()
    }

    /// Whether more wait than are shown.
    async fn more(&self) -> bool {
        self.rows.more
    }
}

/// Someone who waits: at a session's door (`participantId` is not null), or for a session to be opened.
pub struct WaitingPerson {
    row: WaitingRow,
}

/// Someone who waits: at a session's door (`participantId` is not null), or for a session to be opened.
#[Object]
impl WaitingPerson {
    /// What they called themselves.
    async fn display_name(&self, ctx: &Context<'_>) -> async_graphql::Result<PrivateText> {
        let stream = match self.row.by {
            WaitsBy::Knock(session, _) => DomainSession::stream(session),
            WaitsBy::Invitation(invitation) => DomainInvitation::stream(invitation),
        };
        Call::query(ctx)?.reveal(&stream, "display_name", &self.row.display_name)
    }

    /// Since when they wait.
    async fn since(&self) -> DateTime {
        DateTime(self.row.since)
    }

    /// When the desk was alerted because nobody had answered for two minutes; null before.
    async fn alerted_at(&self) -> Option<DateTime> {
        self.row.alerted_at.map(DateTime)
    }

    /// The participant who knocks, to be admitted or denied.
    async fn participant_id(&self) -> Option<ID> {
        match self.row.by {
            WaitsBy::Knock(_, participant) => Some(participant.into_id()),
            WaitsBy::Invitation(_) => None,
        }
    }

    /// The invitation, where they came by one.
    async fn invitation_id(&self) -> Option<ID> {
        self.row.invitation.map(IntoId::into_id)
    }

    /// The session at whose door they are; for who waited for it to be opened: the one that is live now, if one is.
    async fn session_id(&self) -> Option<ID> {
        self.row.session.map(IntoId::into_id)
    }

    /// The id of the room that they want to enter.
    async fn room_id(&self) -> ID {
        self.row.room.into_id()
    }

    /// The room that they want to enter.
    async fn room(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Room>> {
        Room::readable(&Call::query(ctx)?, self.row.room).await
    }

    /// The id of the room's unit.
    async fn unit_id(&self) -> ID {
        self.row.unit.into_id()
    }
}

inputs! {
    /// Comes to the desk by an invitation.
    new WaitAtDeskInput {
        /// The invitation.
        invitation_id: ID,
        /// The invitation's secret. Send it as a variable.
        secret: String,
        /// What to be called: 1 to 100 characters, protected.
        display_name: String,
        /// What the browser says of itself: at most 300 characters, protected.
        device: Option<String>,
    }
    /// Goes away from the desk.
    new LeaveDeskInput {
        /// The invitation.
        invitation_id: ID,
        /// The invitation's secret. Send it as a variable.
        secret: String,
    }
}

payloads! {
    /// What coming to the desk, or going, answers.
    AtDeskPayload {
        /// Where the invitee stands after it; null when nothing was done.
        at_desk: AtDesk,
    }
}

fn payload_of(told: (Option<(DomainAtDesk, Outcome<DomainInvitation>)>, crate::call::Told)) -> AtDeskPayload {
    let (done, told) = told;
    AtDeskPayload::new(done.map(|(there, _)| there.into()), told)
}

/// Queries of the desk.
#[derive(Default)]
pub struct DeskQuery;

#[Object]
impl DeskQuery {
    /// Where an invitee stands who waits at the desk, by the invitation's secret: ask every few seconds.
    async fn desk_wait(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invitation's id.")] invitation_id: ID,
        #[graphql(desc = "The invitation's secret. Send it as a variable.")] secret: String,
    ) -> async_graphql::Result<AtDesk> {
        let call = Call::query(ctx)?;
        let invitation: InvitationId = id("invitationId", &invitation_id)?;
        call.app().desk_wait(&call.request, invitation, &secret).await.map(AtDesk::from).map_err(shown)
    }

    /// Who waits in a unit and the units below it: for those who have a role there that hosts.
    async fn waiting_desk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The unit's id.")] unit_id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<WaitingDesk> {
        let call = Call::query(ctx)?;
        let unit = id("unitId", &unit_id)?;
        call.authorise(Operation::WaitingDesk, &unit_resource(call.organization()?, Some(unit))).await?;
        crate::call::wait_for(call.models(), wait_for).await?;
        is_there(&call, unit)?;
        Ok(WaitingDesk { unit, rows: rows(&call, unit)? })
    }
}

/// Refuses a unit of which this organization has none.
fn is_there(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<()> {
    let units = stored(call.models().find_units(call.organization()?))?;
    if units.is_none_or(|units| units.state.path(unit).is_empty()) {
        return Err(refusal("NOT_FOUND", "There is no unit with this id."));
    }
    Ok(())
}

fn rows(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<WaitingRows> {
    stored(call.models().waiting_desk(call.organization()?, unit, SHOWN_MAX))
}

/// Mutations of the desk.
#[derive(Default)]
pub struct DeskMutation;

#[Object]
impl DeskMutation {
    /// Waits at the desk of the room's unit, from 15 minutes before the invitation's window until its end, while the room
    /// has no live session; where it has one, nothing is recorded and `sessionId` says which. Needs no account. Who waits
    /// already waits on.
    async fn wait_at_desk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who waits, by which invitation.")] input: WaitAtDeskInput,
    ) -> async_graphql::Result<AtDeskPayload> {
        let call = Call::mutation(ctx)?;
        let invitation = id("invitationId", &input.invitation_id)?;
        let who = Introduction { display_name: input.display_name, device: input.device };
        let result = call.app().wait_at_desk(&call.request, invitation, &input.secret, &who).await;
        Ok(payload_of(call.told(result, |(_, outcome)| outcome.position).await?))
    }

    /// Goes away from the desk.
    async fn leave_desk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "By which invitation they waited.")] input: LeaveDeskInput,
    ) -> async_graphql::Result<AtDeskPayload> {
        let call = Call::mutation(ctx)?;
        let invitation = id("invitationId", &input.invitation_id)?;
        let result = call.app().leave_desk(&call.request, invitation, &input.secret).await;
        Ok(payload_of(call.told(result, |(_, outcome)| outcome.position).await?))
    }
}

/// Who waits in the unit and the units below it, each time that it changed, and once at the start.
pub async fn changes(
    ctx: &Context<'_>,
    unit: UnitId,
) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<WaitingDesk>> + use<>> {
    let call = Call::query(ctx)?;
    let organization = call.organization()?;
    let resource = unit_resource(organization, Some(unit));
    call.authorise(Operation::WaitingDeskChanged, &resource).await?;
    is_there(&call, unit)?;
    allowed_while(&call, ctx.data::<Subscriber>()?, Operation::WaitingDeskChanged, resource);
    // Listening begins before the first look, so that no change falls between the two.
    let changed = call.models().changes.desks(organization);
    let services = Services { app: Arc::clone(&call.services.app), models: Arc::clone(&call.services.models) };
    let state = (services, call.request.clone(), changed, None::<WaitingRows>);
    Ok(stream::unfold(state, move |(services, request, mut changed, mut before)| async move {
        loop {
            if before.is_some() && !changed.changed().await {
                return None;
            }
            changed.seen();
            let found = rows(&Call { services: &services, request: request.clone() }, unit);
            // Told of more than this desk: what looks the same is not said again.
            match &found {
                Ok(rows) if before.as_ref() == Some(rows) => continue,
                Ok(rows) => before = Some(rows.clone()),
                Err(_) => before = Some(WaitingRows::default()),
            }
            let item = found.map(|rows| WaitingDesk { unit, rows });
            return Some((item, (services, request, changed, before)));
        }
    }))
}
