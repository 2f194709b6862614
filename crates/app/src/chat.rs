//! Chat: a stream beside its session's, and content: reading it is recorded.

use witan_auth::Operation;
use witan_domain::{
    MessageId, ParticipantId, SessionId,
    chat::{Chat, ChatStanding, MESSAGE_TEXT_CHARS_MAX, RemoveMessage, SendMessage},
};

use crate::{
    App, Error, Outcome, Request,
    execute::{Presence, Task},
    personal::Text,
    sessions::own_participant,
};

/// How many messages one participant sends at once, if they don't moderate.
pub const MESSAGES_AT_ONCE: u32 = 30;
/// After how long they send one more.
pub const MESSAGE_INTERVAL_MILLIS: u32 = 500;

impl App {
    /// Says something to all who are in.
    pub async fn send_message(
        &self,
        request: &Request,
        session: SessionId,
        text: &str,
    ) -> Result<(MessageId, Outcome<Chat>), Error> {
        let text = Text::required("text", text, MESSAGE_TEXT_CHARS_MAX)?;
        let organization = request.organization()?;
        let task = self.begin_chat(request, session, Operation::SendMessage, Presence::Optional).await?;
        let state = self.session_state(organization, session)?;
        let author = own_participant(request, &state)?;
        let person = state.record().and_then(|record| record.participant(author)).map(|author| author.person);
        let person = person.ok_or(Error::NotFound { what: "participant" })?;
        let standing = state.chat_standing(author);
        self.slow_down(author, standing, &task)?;
        let message = MessageId(self.id_for(request, &format!("message in {session}")));
        let text = self.protect(organization, person, task.stream(), "text", text)?;
        let command = SendMessage { message, author, text, standing, now: task.now() };
        Ok((message, task.finish(&command.into()).await?))
    }

    /// Begins a command of the chat, asked in its turn: who was removed while they waited for it may no longer.
    async fn begin_chat<'a>(
        &'a self,
        request: &'a Request,
        session: SessionId,
        operation: Operation,
        presence: Presence,
    ) -> Result<Task<'a, Chat>, Error> {
        let organization = request.organization()?;
        self.session_state(organization, session)?;
        let resource = move |_: &_| self.session_resource_now(&request.actor, organization, session);
        self.begin::<Chat>(request, Some(organization), session, operation, presence, resource).await
    }

    /// Who doesn't moderate says so much at once: a flood is no talk. A retry is none of it.
    fn slow_down(&self, author: ParticipantId, standing: ChatStanding, task: &Task<'_, Chat>) -> Result<(), Error> {
        let moderates = matches!(standing, ChatStanding::In { moderates: true, .. });
        if moderates || task.answered()?.is_some() || self.messages.take(author, task.now()) {
            return Ok(());
        }
        Err(Error::Rejected {
            code: "TOO_MANY_MESSAGES",
            field: None,
            message: "Too many messages were sent at once: try again in a few seconds.".into(),
        })
    }

    /// Marks a message as removed: one's own, or anyone's where a host asks.
    pub async fn remove_message(
        &self,
        request: &Request,
        session: SessionId,
        message: MessageId,
    ) -> Result<Outcome<Chat>, Error> {
        let organization = request.organization()?;
        let presence = Presence::NeededOnceAllowed("message");
        let task = self.begin_chat(request, session, Operation::RemoveMessage, presence).await?;
        let state = self.session_state(organization, session)?;
        let by = own_participant(request, &state)?;
        let command = RemoveMessage { message, by, standing: state.chat_standing(by), now: task.now() };
        task.finish(&command.into()).await
    }
}
