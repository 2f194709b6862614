//! Chat: what is shown of it, what one may say in a session, and take back.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use witan_domain::{Aggregate, SessionId, chat::Chat as DomainChat};
use witan_projections::chat::MessageRow;

use crate::{
    call::{Call, PrivateText, UserError, id, shown, stored},
    connection::{PageInput, connection, edges},
    scalars::{DateTime, IntoId, Position},
};

/// A chat message.
pub struct Message {
    row: MessageRow,
}

connection!(
    /// A page of chat messages.
    MessageConnection,
    MessageEdge,
    Message
);

/// A page of a session's chat, for those who may read it. The read is recorded.
pub async fn list_messages(
    call: &Call<'_>,
    session: SessionId,
    page: &PageInput,
) -> async_graphql::Result<MessageConnection> {
    let (organization, _) = call.app().read_chat(&call.request, session).await.map_err(shown)?;
    let page = page.page()?;
    let listed = stored(call.models().list_messages(organization, session, &page))?;
    let (edges, page_info) =
        edges(listed, &page, |row| Some(Message { row }), |cursor, node| MessageEdge { cursor, node });
    Ok(MessageConnection { edges, page_info })
}

/// A chat message.
#[Object]
impl Message {
    /// The message's id.
    async fn id(&self) -> ID {
        self.row.message.into_id()
    }

    /// The participant who wrote it.
    async fn author_id(&self) -> ID {
        self.row.author.into_id()
    }

    /// What it says; null once it was removed.
    async fn text(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        if self.row.removed.is_some() {
            return Ok(None);
        }
        Call::query(ctx)?.reveal(&DomainChat::stream(self.row.session), "text", &self.row.text).map(Some)
    }

    /// When it was sent.
    async fn sent_at(&self) -> DateTime {
        DateTime(self.row.sent_at)
    }

    /// When it was removed, if it was.
    async fn removed_at(&self) -> Option<DateTime> {
        self.row.removed.map(|removed| DateTime(removed.at))
    }

    /// The participant who removed it.
    async fn removed_by_id(&self) -> Option<ID> {
        self.row.removed.map(|removed| removed.by.into_id())
    }

    /// Where it stands in the log.
    async fn position(&self) -> Position {
        Position(self.row.position.0)
    }
}

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
