//! Leading a session: who is let in, heard, seen, moved or removed, until its end; and what its people consent to.

use async_graphql::{Context, ID, InputObject, Object};
use witan_app::sessions::Reason;

use crate::{
    call::{Call, id},
    participant::{ConsentPurpose, MediaSource, SessionRole},
    session::{SessionPayload, session_payload},
    settings::SettingChoice,
};

macro_rules! session_inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(InputObject)]
        pub struct $name {
            /// The session.
            pub session_id: ID,
            $($(#[$field_doc])* pub $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
            /// The version that the session is expected to have; otherwise nothing is done.
            #[graphql(name = "expectedVersion")]
            _expected_version: Option<u64>,
        }
    )*};
}

session_inputs! {
    /// A command to a session as a whole.
    SessionInput {}
    /// A command about one participant.
    ParticipantInput {
        /// The participant.
        participant_id: ID,
    }
    /// Says no to someone who knocks.
    DenyParticipantInput {
        /// The participant.
        participant_id: ID,
        /// Why: at most 500 characters, protected as the person's own.
        reason: Option<String>,
    }
    /// Removes a participant.
    RemoveParticipantInput {
        /// The participant.
        participant_id: ID,
        /// Whether the person may never come back to this session. Without a word: they may.
        ban: Option<bool>,
        /// Why: at most 500 characters, protected as the person's own.
        reason: Option<String>,
    }
    /// Mutes a participant's source, or takes the mute back.
    MuteParticipantInput {
        /// The participant.
        participant_id: ID,
        /// What to mute.
        source: MediaSource,
    }
    /// Mutes a source of everyone who doesn't moderate.
    MuteAllInput {
        /// What to mute.
        source: MediaSource,
    }
    /// Sends a participant to another live session.
    MoveParticipantInput {
        /// The participant.
        participant_id: ID,
        /// The session to move to.
        to_session_id: ID,
    }
    /// Gives a participant another role.
    ChangeParticipantRoleInput {
        /// The participant.
        participant_id: ID,
        /// The new role.
        role: SessionRole,
    }
    /// Moves the maximum duration out.
    ExtendSessionInput {
        /// By so many minutes: 1 to 240.
        minutes: u32,
    }
    /// Changes a setting during the session.
    ChangeSessionSettingInput {
        /// The setting and its new value.
        setting: SettingChoice,
    }
    /// Consents, for oneself or as a guardian.
    GiveConsentInput {
        /// Whose consent it is; the caller's own without a word.
        participant_id: Option<ID>,
        /// To what.
        purpose: ConsentPurpose,
        /// The version of the text that was shown: 1 to 64 visible ASCII characters.
        text_version: String,
        /// The language it was shown in: a BCP 47 tag.
        language: String,
    }
    /// Withdraws consent, for oneself or as a guardian.
    WithdrawConsentInput {
        /// Whose consent it is; the caller's own without a word.
        participant_id: Option<ID>,
        /// To what.
        purpose: ConsentPurpose,
    }
}

/// Mutations by which sessions are led.
#[derive(Default)]
pub struct ModerationMutation;

#[Object]
impl ModerationMutation {
    /// Lets someone in who knocks.
    async fn admit_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().admit_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Lets everyone in who knocks.
    async fn admit_all(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().admit_all(&call.request, session).await).await
    }

    /// Says no to someone who knocks.
    async fn deny_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and why.")] input: DenyParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let reason = input.reason.map(Reason);
        let result = call.app().deny_participant(&call.request, session, participant, reason).await;
        session_payload(&call, session, result).await
    }

    /// Mutes a participant's source. Enforced at the media node where there is one.
    async fn mute_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and what.")] input: MuteParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().mute_participant(&call.request, session, participant, input.source.into()).await;
        session_payload(&call, session, result).await
    }

    /// Takes a mute back.
    async fn unmute_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and what.")] input: MuteParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().unmute_participant(&call.request, session, participant, input.source.into()).await;
        session_payload(&call, session, result).await
    }

    /// Mutes a source of everyone who is in and doesn't moderate.
    async fn mute_all(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to mute.")] input: MuteAllInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().mute_all(&call.request, session, input.source.into()).await).await
    }

    /// Puts a participant on hold: neither heard nor seen, until released.
    async fn hold_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().hold_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Ends a hold.
    async fn release_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().release_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Sends a participant to another live session, where they come in by a token of that session.
    async fn move_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and where to.")] input: MoveParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let to = id("toSessionId", &input.to_session_id)?;
        let result = call.app().move_participant(&call.request, session, participant, to).await;
        session_payload(&call, session, result).await
    }

    /// Removes a participant, with or without a ban for this session.
    async fn remove_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and why.")] input: RemoveParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let (ban, reason) = (input.ban.unwrap_or(false), input.reason.map(Reason));
        let result = call.app().remove_participant(&call.request, session, participant, ban, reason).await;
        session_payload(&call, session, result).await
    }

    /// Gives a participant another role.
    async fn change_participant_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and which.")] input: ChangeParticipantRoleInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let role = input.role.into();
        let result = call.app().change_participant_role(&call.request, session, participant, role).await;
        session_payload(&call, session, result).await
    }

    /// Lets nobody new in but those who moderate.
    async fn lock_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().lock_session(&call.request, session).await).await
    }

    /// Lets people in again.
    async fn unlock_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().unlock_session(&call.request, session).await).await
    }

    /// Moves the maximum duration out, unless it is locked.
    async fn extend_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "By how much.")] input: ExtendSessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().extend_session(&call.request, session, input.minutes).await).await
    }

    /// Changes a setting during the session, unless it is locked.
    async fn change_session_setting(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which setting, and its value.")] input: ChangeSessionSettingInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let value = input.setting.into_domain()?;
        let result = call.app().change_session_setting(&call.request, session, value).await;
        session_payload(&call, session, result).await
    }

    /// Ends the session for all.
    async fn end_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().end_session(&call.request, session).await).await
    }

    /// Consents, for oneself or as a guardian for another.
    async fn give_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To what.")] input: GiveConsentInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let participant = input.participant_id.as_ref().map(|id| crate::call::id("participantId", id)).transpose()?;
        let (purpose, version, language) = (input.purpose.into(), input.text_version, input.language);
        let result = call.app().give_consent(&call.request, session, participant, purpose, version, language).await;
        session_payload(&call, session, result).await
    }

    /// Withdraws consent, for oneself or as a guardian for another: a recording pauses.
    async fn withdraw_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To what.")] input: WithdrawConsentInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let participant = input.participant_id.as_ref().map(|id| crate::call::id("participantId", id)).transpose()?;
        let result = call.app().withdraw_consent(&call.request, session, participant, input.purpose.into()).await;
        session_payload(&call, session, result).await
    }
}
