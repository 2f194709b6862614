//! Chat: a stream beside its session's, and content: reading it is recorded.

use witan_auth::Operation;
use witan_domain::{
    Aggregate, MessageId, SessionId,
    chat::{Chat, MESSAGE_TEXT_CHARS_MAX, RemoveMessage, SendMessage},
};

use crate::{
    App, Error, Outcome, Request,
    execute::Presence,
    personal::Text,
    sessions::{own_participant, session_resource},
};

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
        let state = self.session_state(organization, session)?;
        let resource = session_resource(&request.actor, organization, &state);
        let task = self
            .begin::<Chat>(
                request,
                Some(organization),
                session,
                Operation::SendMessage,
                Presence::Optional,
                move |_| resource.clone(),
            )
            .await?;
        let author = own_participant(request, &state)?;
        let person = state.record().and_then(|record| record.participant(author)).map(|author| author.person);
        let person = person.ok_or(Error::NotFound { what: "participant" })?;
        let message = MessageId(self.id_for(request, "message"));
        let text = self.protect(organization, person, task.stream(), "text", text)?;
        let command = SendMessage { message, author, text, standing: state.chat_standing(author), now: task.now() };
        Ok((message, task.finish(&command.into()).await?))
    }

    /// Marks a message as removed: one's own, or anyone's where a host asks.
    pub async fn remove_message(
        &self,
        request: &Request,
        session: SessionId,
        message: MessageId,
    ) -> Result<Outcome<Chat>, Error> {
        let organization = request.organization()?;
        let state = self.session_state(organization, session)?;
        let resource = session_resource(&request.actor, organization, &state);
        let task = self
            .begin::<Chat>(
                request,
                Some(organization),
                session,
                Operation::RemoveMessage,
                Presence::Needed("message"),
                move |_| resource.clone(),
            )
            .await?;
        let by = own_participant(request, &state)?;
        let command = RemoveMessage { message, by, standing: state.chat_standing(by), now: task.now() };
        task.finish(&command.into()).await
    }
}
