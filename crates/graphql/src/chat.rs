//! Chat: what one may say in a session, and take back.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::{
    call::{Call, UserError, id},
    scalars::Position,
    session::IntoId,
};

/// What a mutation of the chat answers.
#[derive(SimpleObject)]
pub struct MessagePayload {
    /// The message's id.
    message_id: Option<ID>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// The position of what was recorded; null when it held already, or nothing was done.
    position: Option<Position>,
    /// Whether the session's chat shows it yet; false when the read models did not come after within 2 s.
    projected: bool,
}

/// Says something to all who are in.
#[derive(InputObject)]
pub struct SendMessageInput {
    /// The session.
    session_id: ID,
    /// 1 to 4,000 characters, protected as the author's own.
    text: String,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Takes a message back.
#[derive(InputObject)]
pub struct RemoveMessageInput {
    /// The session.
    session_id: ID,
    /// The message.
    message_id: ID,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Mutations of the chat.
#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Says something to all who are in the session.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to say, and where.")] input: SendMessageInput,
    ) -> async_graphql::Result<MessagePayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let result = call.app().send_message(&call.request, session, &input.text).await;
        let (done, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        Ok(MessagePayload {
            message_id: done.map(|(message, _)| message.into_id()),
            user_errors: told.user_errors,
            position: told.position,
            projected: told.projected,
        })
    }

    /// Marks a message as removed: one's own, or anyone's as a host. Its text is no longer shown; what was recorded
    /// stays recorded.
    async fn remove_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: RemoveMessageInput,
    ) -> async_graphql::Result<MessagePayload> {
        let call = Call::mutation(ctx)?;
        let (session, message) = (id("sessionId", &input.session_id)?, id("messageId", &input.message_id)?);
        let result = call.app().remove_message(&call.request, session, message).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        Ok(MessagePayload {
            message_id: done.map(|_| input.message_id),
            user_errors: told.user_errors,
            position: told.position,
            projected: told.projected,
        })
    }
}
