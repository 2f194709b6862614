//! Coming into a session and going: open it, get a join token, knock, join, resume, leave.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use witan_app::{
    Outcome, Request,
    ad_hoc::AdHocInput,
    entry::{Entered, Introduction},
    join_tokens::{Door, Ticket},
    opening::OpeningInput,
};
use witan_domain::{Actor, ParticipantId, SessionId, session::Session as DomainSession, settings::SettingValue};

use crate::{
    call::{Call, Told, UserError, id},
    media::MediaEntrance,
    moderation::SessionInput,
    mutation::inputs,
    participant::{ParticipantState, SessionRole},
    refusal,
    scalars::{DateTime, IntoId, Position},
    session::{Session, SessionPayload, readable, session_payload},
    settings::{Purpose, SettingChoice},
};

/// What opening a session answers.
#[derive(SimpleObject)]
pub struct OpenSessionPayload {
    /// The session; READY at once where no media is needed. Null for who has no credential: they ask for a join token.
    session: Option<Session>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// The position of what was recorded.
    position: Option<Position>,
    /// Whether `session` shows it yet.
    projected: bool,
}

/// What making a join token answers.
#[derive(SimpleObject)]
pub struct JoinTokenPayload {
    /// The token, to be redeemed once by `knock` or `joinSession`.
    pub join_token: Option<String>,
    /// When it ends, at most five minutes from now.
    pub expires_at: Option<DateTime>,
    /// The session that it leads to.
    pub session_id: Option<ID>,
    /// What its bearer will be in the session.
    pub role: Option<SessionRole>,
    /// Whether it leads through the lobby: knock first.
    pub lobby: Option<bool>,
    /// Why there is no token; empty when there is.
    pub user_errors: Vec<UserError>,
    /// The position of what was recorded; null when nothing had to be.
    pub position: Option<Position>,
    /// Whether the read models show it yet.
    pub projected: bool,
}

impl JoinTokenPayload {
    pub fn new(ticket: Option<Ticket>, told: Told) -> Self {
        let claims = ticket.as_ref().map(|ticket| ticket.claims.clone());
        Self {
            expires_at: ticket.as_ref().map(|ticket| DateTime(ticket.expires)),
            join_token: ticket.map(|ticket| ticket.token),
            session_id: claims.as_ref().map(|claims| claims.session.into_id()),
            role: claims.as_ref().map(|claims| claims.role.into()),
            lobby: claims.map(|claims| claims.lobby),
            user_errors: told.user_errors,
            position: told.position,
            projected: told.projected,
        }
    }
}

/// What coming to a session answers.
#[derive(SimpleObject)]
pub struct EnterPayload {
    /// The participant that the caller is from now on.
    participant_id: Option<ID>,
    /// Where they stand: KNOCKING in the lobby, ADMITTED, or JOINED.
    state: Option<ParticipantState>,
    /// By which the participant acts from now on (`Authorization: Bearer …`), and comes back after a drop. Shown here
    /// alone; keep it for reloads.
    resume_secret: Option<String>,
    /// The session's id.
    session_id: Option<ID>,
    /// The session, with who is there.
    session: Option<Session>,
    /// The participant's transports, once they are JOINED. Null where the deployment has no media, and where a media node did
    /// not answer in time: then ask with `enterMedia`.
    media: Option<MediaEntrance>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// The position of what was recorded.
    position: Option<Position>,
    /// Whether the read models show it yet.
    projected: bool,
}

/// Opens a session in a room.
#[derive(InputObject)]
pub struct OpenSessionInput {
    /// The room.
    room_id: ID,
    /// The record that the session belongs to (a patient's file, say): 1 to 200 characters, protected.
    record_id: Option<String>,
    /// The closed session that this one continues.
    continues_id: Option<ID>,
    /// Settings that the opener chooses, where no level has locked them.
    #[graphql(default)]
    settings: Vec<SettingChoice>,
    /// The room's password, where its open policy lets in whoever knows it. Send it as a variable.
    password: Option<String>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
    /// The version that the room is expected to have.
    #[graphql(name = "expectedVersion")]
    _expected_version: Option<u64>,
}

inputs! {
    /// Opens an ad-hoc session in a unit.
    new OpenAdHocSessionInput {
        /// The unit.
        unit_id: ID,
        /// What it is for: this chooses a template of defaults.
        purpose: Purpose,
        /// What its hidden room is called: 1 to 200 characters, not protected. "Ad-hoc session" when absent.
        name: Option<String>,
        /// The record that the session belongs to (a patient's file, say): 1 to 200 characters, protected.
        record_id: Option<String>,
        /// Settings that the opener chooses, where no level has locked them.
        #[graphql(default)]
        settings: Vec<SettingChoice>,
    }
}

/// Asks for a join token: give `sessionId` or `roomId`.
#[derive(InputObject)]
pub struct CreateJoinTokenInput {
    /// The session.
    session_id: Option<ID>,
    /// The room: into its live session.
    room_id: Option<ID>,
    /// The room's password, where its join policy lets in whoever knows it. Send it as a variable.
    password: Option<String>,
    /// The same key again gets the same token's id: 1 to 255 bytes. Without a credential it is always a new one.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Comes to a session's door with a join token.
#[derive(InputObject)]
pub struct KnockInput {
    /// From `createJoinToken` or `exchangeInvitation`; redeemed by this.
    join_token: String,
    /// What to be called: 1 to 100 characters, protected.
    display_name: String,
    /// What the browser says of itself: at most 300 characters, protected.
    device: Option<String>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Comes in: with a join token that leads past the lobby, or after an admission.
#[derive(InputObject)]
pub struct JoinSessionInput {
    /// From `createJoinToken` or `exchangeInvitation`. Absent after a knock: then `sessionId` and the resume secret.
    join_token: Option<String>,
    /// What to be called, with a join token: 1 to 100 characters, protected.
    display_name: Option<String>,
    /// What the browser says of itself: at most 300 characters, protected.
    device: Option<String>,
    /// The session, when joining after an admission.
    session_id: Option<ID>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Mutations by which people come into sessions, and go.
#[derive(Default)]
pub struct EntryMutation;

#[Object]
impl EntryMutation {
    /// Opens a session in a room. A room has at most one live session. Without a credential where the open policy has a
    /// grant for anyone, or for who knows the password; then without record, settings or a session before.
    async fn open_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to open.")] input: OpenSessionInput,
    ) -> async_graphql::Result<OpenSessionPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let opening = OpeningInput {
            record_id: input.record_id,
            continues: input.continues_id.as_ref().map(|before| id("continuesId", before)).transpose()?,
            settings: chosen(input.settings)?,
            password: input.password,
        };
        opened_payload(&call, call.app().open_session(&call.request, room, &opening).await).await
    }

    /// Opens a session in a hidden room that is made for it in the unit, and is the caller's: for whoever has a role there
    /// that hosts. The room is in no list; it is archived when the session has ended.
    async fn open_ad_hoc_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to open, and where.")] input: OpenAdHocSessionInput,
    ) -> async_graphql::Result<OpenSessionPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let opening = AdHocInput {
            purpose: input.purpose.into(),
            name: input.name,
            record_id: input.record_id,
            settings: chosen(input.settings)?,
        };
        opened_payload(&call, call.app().open_ad_hoc_session(&call.request, unit, &opening).await).await
    }

    /// Makes a join token for the caller: a user who may enter, or, without a credential, a guest whom a grant for anyone
    /// or for who knows the password lets in. To the latter every refusal is one: ENTRY_REFUSED.
    async fn create_join_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For which session, or which room's.")] input: CreateJoinTokenInput,
    ) -> async_graphql::Result<JoinTokenPayload> {
        let call = Call::mutation(ctx)?;
        let door = match (&input.session_id, &input.room_id) {
            (Some(session), None) => Door::Session(id("sessionId", session)?),
            (None, Some(room)) => Door::Room(id("roomId", room)?),
            _ => return Err(refusal("INVALID_INPUT", "Give sessionId or roomId: one of them.")),
        };
        let result = call.app().create_join_token(&call.request, door, input.password.as_deref()).await;
        let (ticket, told) = call.told(result, |_| None).await?;
        Ok(JoinTokenPayload::new(ticket, told))
    }

    /// Comes to the door: into the lobby, or admitted at once where no lobby applies. Needs no account, only the token.
    async fn knock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who knocks, with which token.")] input: KnockInput,
    ) -> async_graphql::Result<EnterPayload> {
        let call = Call::mutation(ctx)?;
        let who = Introduction { display_name: input.display_name, device: input.device };
        enter_payload(ctx, &call, call.app().knock(&call.request, &input.join_token, &who).await).await
    }

    /// Comes in: with a join token that leads past the lobby, or, after a knock was admitted, with the resume secret.
    async fn join_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who comes in, and by which right.")] input: JoinSessionInput,
    ) -> async_graphql::Result<EnterPayload> {
        let call = Call::mutation(ctx)?;
        match (&input.join_token, &input.session_id) {
            (Some(token), None) => {
                let display_name = input.display_name.unwrap_or_default();
                let who = Introduction { display_name, device: input.device };
                enter_payload(ctx, &call, call.app().join_by_token(&call.request, token, &who).await).await
            }
            (None, Some(session)) => {
                let session = id("sessionId", session)?;
                let result = call.app().join_by_admission(&call.request, session).await;
                admitted_payload(&call, session, result).await
            }
            _ => Err(refusal("INVALID_INPUT", "Give joinToken, or sessionId after an admission: one of them.")),
        }
    }

    /// Comes back after a drop, within 30 s, as the same participant.
    async fn resume_participation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().resume_participation(&call.request, session).await).await
    }

    /// Leaves.
    async fn leave_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().leave_session(&call.request, session).await).await
    }

    /// Goes away from the lobby.
    async fn withdraw_knock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().withdraw_knock(&call.request, session).await).await
    }
}

fn chosen(settings: Vec<SettingChoice>) -> async_graphql::Result<Vec<SettingValue>> {
    settings.into_iter().map(SettingChoice::into_domain).collect()
}

async fn opened_payload(
    call: &Call<'_>,
    result: Result<(SessionId, Outcome<DomainSession>), witan_app::Error>,
) -> async_graphql::Result<OpenSessionPayload> {
    let (done, told) = call.told(result, |(_, outcome)| outcome.position).await?;
    let session = match done {
        Some((session, _)) => readable(call, session).await?,
        None => None,
    };
    let Told { user_errors, position, projected } = told;
    Ok(OpenSessionPayload { session, user_errors, position, projected })
}

async fn enter_payload(
    ctx: &Context<'_>,
    call: &Call<'_>,
    result: Result<Entered, witan_app::Error>,
) -> async_graphql::Result<EnterPayload> {
    let (entered, told) = call.told(result, |entered| entered.outcome.position).await?;
    let state = entered.as_ref().and_then(|entered| state_of(&entered.outcome, entered.participant));
    let (session, media) = match &entered {
        Some(Entered { organization, session, participant, .. }) => {
            let actor =
                Actor::Participant { organization: *organization, session: *session, participant: *participant };
            Call::comes_in(ctx, actor.clone())?;
            found_inside(call, actor, *session, state).await?
        }
        None => (None, None),
    };
    Ok(EnterPayload {
        participant_id: entered.as_ref().map(|entered| entered.participant.into_id()),
        session_id: entered.as_ref().map(|entered| entered.session.into_id()),
        session,
        media,
        state,
        resume_secret: entered.map(|entered| entered.resume_secret),
        user_errors: told.user_errors,
        position: told.position,
        projected: told.projected,
    })
}

/// Whoever joins after an admission has their secret already.
async fn admitted_payload(
    call: &Call<'_>,
    session: SessionId,
    result: Result<Outcome<DomainSession>, witan_app::Error>,
) -> async_graphql::Result<EnterPayload> {
    let (outcome, told) = call.told(result, |outcome| outcome.position).await?;
    let participant = match call.request.actor {
        Actor::Participant { participant, .. } => Some(participant),
        _ => None,
    };
    let state = outcome.as_ref().zip(participant).and_then(|(outcome, participant)| state_of(outcome, participant));
    let (found, media) = match outcome {
        Some(_) => found_inside(call, call.request.actor.clone(), session, state).await?,
        None => (None, None),
    };
    Ok(EnterPayload {
        participant_id: participant.filter(|_| outcome.is_some()).map(IntoId::into_id),
        session_id: outcome.is_some().then(|| session.into_id()),
        session: found,
        media,
        state,
        resume_secret: None,
        user_errors: told.user_errors,
        position: told.position,
        projected: told.projected,
    })
}

/// What whoever has just come finds: the session as they see it, and, once they are in, their transports.
async fn found_inside(
    call: &Call<'_>,
    actor: Actor,
    session: SessionId,
    state: Option<ParticipantState>,
) -> async_graphql::Result<(Option<Session>, Option<MediaEntrance>)> {
    let is_participant = matches!(actor, Actor::Participant { .. });
    let request = Request::by(actor, call.request.correlation);
    let inside = Call { services: call.services, request };
    let found = readable(&inside, session).await?;
    if !is_participant || state != Some(ParticipantState::Joined) {
        return Ok((found, None));
    }
    let entrance = match call.app().enter_media(&inside.request, session).await {
        Ok((entrance, _)) => entrance,
        Err(error) => {
            tracing::warn!(%session, code = error.code(), "whoever came in has no transports yet");
            None
        }
    };
    Ok((found, entrance.map(MediaEntrance::from)))
}

fn state_of(outcome: &Outcome<DomainSession>, participant: ParticipantId) -> Option<ParticipantState> {
    let record = outcome.state.record()?;
    record.participant(participant).map(|there| there.state.into())
}
