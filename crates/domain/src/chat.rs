//! The chat of one session. Stream `chat-{session}`: apart from the session's own, so that both stay short.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, MessageId, ParticipantId, PersonId, Private, SessionId, Timestamp, aggregate::Rejection, events,
};

/// The longest text of a message, before it is protected; `app` checks it.
pub const MESSAGE_TEXT_CHARS_MAX: usize = 4_000;
/// The longest protected text: four UTF-8 bytes a character, and what the encryption adds.
pub const MESSAGE_CIPHERTEXT_BYTES_MAX: usize = 4 * MESSAGE_TEXT_CHARS_MAX + 256;
/// The most messages of one session.
pub const MESSAGES_MAX: usize = 20_000;
/// How many of these only those who moderate may send.
pub const MESSAGES_KEPT_FOR_MODERATORS: usize = 1_000;
/// How many of these are one person's at most, if they don't moderate: nobody uses the chat up alone.
pub const MESSAGES_OF_PERSON_MAX: usize = 2_000;

/// What the session says of the one who writes: made by [`SessionState::chat_standing`] only, from the session's own
/// stream, and carried by the command because a decider sees one stream.
///
/// [`SessionState::chat_standing`]: crate::session::SessionState::chat_standing
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatStanding {
    SessionNotLive,
    NotIn,
    /// In the session: whose presence it is, whether they moderate, and whether the setting allows chat.
    In {
        person: PersonId,
        moderates: bool,
        chat: bool,
    },
}

// Commands.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatCommand {
    SendMessage(SendMessage),
    RemoveMessage(RemoveMessage),
}

impl From<SendMessage> for ChatCommand {
    fn from(command: SendMessage) -> Self {
        Self::SendMessage(command)
    }
}

impl From<RemoveMessage> for ChatCommand {
    fn from(command: RemoveMessage) -> Self {
        Self::RemoveMessage(command)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendMessage {
    pub message: MessageId,
    pub author: ParticipantId,
    /// The author's, and theirs.
    pub text: Private,
    /// Of the author.
    pub standing: ChatStanding,
    pub now: Timestamp,
}

/// Marks a message as removed: its author's own, or anyone's where a host asks. What was recorded stays recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveMessage {
    pub message: MessageId,
    pub by: ParticipantId,
    /// Of the one who removes.
    pub standing: ChatStanding,
    pub now: Timestamp,
}

// Events.

/// A participant said something in the chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    pub message: MessageId,
    pub author: ParticipantId,
    pub text: Private,
}

/// A message was marked as removed, by its author or a host. What it said stays in the log, protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRemoved {
    pub message: MessageId,
    pub by: ParticipantId,
}

events! {
    /// Any event of a session's chat.
    pub enum ChatEvent of "chat" {
        MessageSent,
        MessageRemoved,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatRejection {
    #[error("The session is not live.")]
    SessionNotLive,
    #[error("The participant is not in the session.")]
    ParticipantNotIn,
    #[error("Chat is off in this session.")]
    ChatOff,
    #[error("The message's text is another person's.")]
    PrivateOfAnother,
    #[error("A message has 1 to {MESSAGE_TEXT_CHARS_MAX} characters.")]
    MessageTooLong,
    #[error(
        "The session has its maximum of {MESSAGES_MAX} messages, or all but those that are kept for who moderates."
    )]
    ChatFull,
    #[error("The person has sent {MESSAGES_OF_PERSON_MAX} messages, as many as one may send in one session.")]
    MessagesExhausted,
    #[error("Another message has this id already.")]
    MessageAlreadyExists,
    #[error("The session has no such message.")]
    MessageNotFound,
    #[error("Only its author, or a host, removes a message.")]
    MessageOfAnother,
}

impl Rejection for ChatRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::SessionNotLive => "SESSION_NOT_LIVE",
            Self::ParticipantNotIn => "PARTICIPANT_NOT_IN",
            Self::ChatOff => "CHAT_OFF",
            Self::PrivateOfAnother => "PRIVATE_OF_ANOTHER",
            Self::MessageTooLong => "MESSAGE_TOO_LONG",
            Self::ChatFull => "CHAT_FULL",
            Self::MessagesExhausted => "MESSAGES_EXHAUSTED",
            Self::MessageAlreadyExists => "MESSAGE_ALREADY_EXISTS",
            Self::MessageNotFound => "MESSAGE_NOT_FOUND",
            Self::MessageOfAnother => "MESSAGE_OF_ANOTHER",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::PrivateOfAnother | Self::MessageTooLong => Some("text"),
            Self::MessageAlreadyExists | Self::MessageNotFound | Self::MessageOfAnother => Some("messageId"),
            Self::SessionNotLive
            | Self::ParticipantNotIn
            | Self::ChatOff
            | Self::ChatFull
            | Self::MessagesExhausted => None,
        }
    }
}

// State.

/// The messages of one session, without their text: what commands are decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatState {
    pub messages: BTreeMap<MessageId, Message>,
    /// How many of them each person has sent.
    pub sent: BTreeMap<PersonId, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub author: ParticipantId,
    pub sent_at: Timestamp,
    pub removed: Option<Removal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    pub at: Timestamp,
    pub by: ParticipantId,
}

/// The decider.
pub struct Chat;

impl Aggregate for Chat {
    type Id = SessionId;
    type Command = ChatCommand;
    type Event = ChatEvent;
    type Rejection = ChatRejection;
    type State = ChatState;
    const CATEGORY: &'static str = "chat";

    fn decide(state: &ChatState, command: &ChatCommand) -> Result<Vec<ChatEvent>, ChatRejection> {
        match command {
            ChatCommand::SendMessage(command) => send_message(state, command),
            ChatCommand::RemoveMessage(command) => remove_message(state, command),
        }
    }

    fn evolve(mut state: ChatState, event: &ChatEvent, at: Timestamp) -> ChatState {
        match event {
            ChatEvent::MessageSent(sent) => {
                let message = Message { author: sent.author, sent_at: at, removed: None };
                if let Entry::Vacant(place) = state.messages.entry(sent.message) {
                    place.insert(message);
                    *state.sent.entry(sent.text.person).or_default() += 1;
                }
            }
            ChatEvent::MessageRemoved(removed) => {
                if let Some(message) = state.messages.get_mut(&removed.message) {
                    message.removed.get_or_insert(Removal { at, by: removed.by });
                }
            }
        }
        state
    }
}

fn send_message(state: &ChatState, command: &SendMessage) -> Result<Vec<ChatEvent>, ChatRejection> {
    let (person, moderates, chat) = standing_in(command.standing)?;
    if !chat {
        return Err(ChatRejection::ChatOff);
    }
    if command.text.person != person {
        return Err(ChatRejection::PrivateOfAnother);
    }
    let bytes = command.text.ciphertext.0.len();
    if bytes == 0 || bytes > MESSAGE_CIPHERTEXT_BYTES_MAX {
        return Err(ChatRejection::MessageTooLong);
    }
    match state.messages.get(&command.message) {
        Some(message) if message.author == command.author => return Ok(Vec::new()),
        Some(_) => return Err(ChatRejection::MessageAlreadyExists),
        None => {}
    }
    let kept = if moderates { 0 } else { MESSAGES_KEPT_FOR_MODERATORS };
    if state.messages.len() >= MESSAGES_MAX - kept {
        return Err(ChatRejection::ChatFull);
    }
    if !moderates && state.sent.get(&person).is_some_and(|sent| *sent >= MESSAGES_OF_PERSON_MAX) {
        return Err(ChatRejection::MessagesExhausted);
    }
    let sent = MessageSent { message: command.message, author: command.author, text: command.text.clone() };
    Ok(vec![sent.into()])
}

fn remove_message(state: &ChatState, command: &RemoveMessage) -> Result<Vec<ChatEvent>, ChatRejection> {
    let (_, moderates, _) = standing_in(command.standing)?;
    let message = state.messages.get(&command.message).ok_or(ChatRejection::MessageNotFound)?;
    if message.author != command.by && !moderates {
        return Err(ChatRejection::MessageOfAnother);
    }
    if message.removed.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![MessageRemoved { message: command.message, by: command.by }.into()])
}

fn standing_in(standing: ChatStanding) -> Result<(PersonId, bool, bool), ChatRejection> {
    match standing {
        ChatStanding::SessionNotLive => Err(ChatRejection::SessionNotLive),
        ChatStanding::NotIn => Err(ChatRejection::ParticipantNotIn),
        ChatStanding::In { person, moderates, chat } => Ok((person, moderates, chat)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{golden, private::Ciphertext};

    const ANNA: PersonId = PersonId(1);
    const STANDING: ChatStanding = ChatStanding::In { person: ANNA, moderates: false, chat: true };
    const HOST: ChatStanding = ChatStanding::In { person: PersonId(2), moderates: true, chat: true };

    fn send(message: u128) -> SendMessage {
        SendMessage {
            message: MessageId(message),
            author: ParticipantId(1),
            text: Private { person: ANNA, ciphertext: Ciphertext(b"hello".to_vec()) },
            standing: STANDING,
            now: Timestamp(0),
        }
    }

    fn remove(message: u128, by: u128, standing: ChatStanding) -> RemoveMessage {
        RemoveMessage { message: MessageId(message), by: ParticipantId(by), standing, now: Timestamp(0) }
    }

    fn decide(state: &ChatState, command: impl Into<ChatCommand>) -> Result<Vec<ChatEvent>, ChatRejection> {
        Chat::decide(state, &command.into())
    }

    fn after(mut state: ChatState, command: impl Into<ChatCommand>) -> ChatState {
        for event in decide(&state, command).unwrap() {
            state = Chat::evolve(state, &event, Timestamp(5));
        }
        state
    }

    #[test]
    fn a_message_is_sent_once() {
        let state = after(ChatState::default(), send(1));
        assert_eq!(state.messages[&MessageId(1)].author, ParticipantId(1));
        assert_eq!(decide(&state, send(1)), Ok(Vec::new()));
        let other = SendMessage { author: ParticipantId(2), ..send(1) };
        assert_eq!(decide(&state, other), Err(ChatRejection::MessageAlreadyExists));
    }

    #[test]
    fn only_who_is_in_writes_and_only_where_chat_is_on() {
        let standing = |standing| decide(&ChatState::default(), SendMessage { standing, ..send(1) });
        assert_eq!(standing(ChatStanding::SessionNotLive), Err(ChatRejection::SessionNotLive));
        assert_eq!(standing(ChatStanding::NotIn), Err(ChatRejection::ParticipantNotIn));
        let off = ChatStanding::In { person: ANNA, moderates: true, chat: false };
        assert_eq!(standing(off), Err(ChatRejection::ChatOff));
    }

    #[test]
    fn a_text_is_its_author_s_and_not_too_long() {
        let with = |person, bytes| {
            let text = Private { person, ciphertext: Ciphertext(vec![1; bytes]) };
            decide(&ChatState::default(), SendMessage { text, ..send(1) })
        };
        assert_eq!(with(PersonId(2), 1), Err(ChatRejection::PrivateOfAnother));
        assert_eq!(with(ANNA, 0), Err(ChatRejection::MessageTooLong));
        assert_eq!(with(ANNA, MESSAGE_CIPHERTEXT_BYTES_MAX + 1), Err(ChatRejection::MessageTooLong));
        assert!(with(ANNA, MESSAGE_CIPHERTEXT_BYTES_MAX).is_ok());
    }

    #[test]
    fn a_message_is_removed_by_its_author_or_a_host() {
        let state = after(ChatState::default(), send(1));
        assert_eq!(decide(&state, remove(2, 1, STANDING)), Err(ChatRejection::MessageNotFound));
        assert_eq!(decide(&state, remove(1, 3, STANDING)), Err(ChatRejection::MessageOfAnother));
        assert_eq!(decide(&state, remove(1, 3, ChatStanding::NotIn)), Err(ChatRejection::ParticipantNotIn));
        let own = after(state.clone(), remove(1, 1, STANDING));
        assert_eq!(own.messages[&MessageId(1)].removed, Some(Removal { at: Timestamp(5), by: ParticipantId(1) }));
        let by_host = after(state, remove(1, 2, HOST));
        assert_eq!(by_host.messages[&MessageId(1)].removed.unwrap().by, ParticipantId(2));
        assert_eq!(decide(&by_host, remove(1, 1, STANDING)), Ok(Vec::new()));
    }

    #[test]
    fn a_session_has_so_many_messages() {
        let message = Message { author: ParticipantId(1), sent_at: Timestamp(0), removed: None };
        let messages = (0..MESSAGES_MAX as u128).map(|n| (MessageId(n), message.clone())).collect();
        let mut state = ChatState { messages, ..ChatState::default() };
        let by_host =
            SendMessage { text: Private { person: PersonId(2), ..send(1).text }, standing: HOST, ..send(u128::MAX) };
        assert_eq!(decide(&state, send(u128::MAX)), Err(ChatRejection::ChatFull));
        assert_eq!(decide(&state, by_host.clone()), Err(ChatRejection::ChatFull));
        state.messages.pop_last();
        assert_eq!(decide(&state, send(u128::MAX)), Err(ChatRejection::ChatFull), "the last are for who moderates");
        assert!(decide(&state, by_host).is_ok());
    }

    #[test]
    fn nobody_uses_the_chat_up_alone() {
        let mut state = ChatState::default();
        for n in 0..MESSAGES_OF_PERSON_MAX as u128 {
            state = after(state, SendMessage { author: ParticipantId(n % 7), ..send(n) });
        }
        assert_eq!(decide(&state, send(u128::MAX)), Err(ChatRejection::MessagesExhausted));
        let other = PersonId(3);
        let by_other = SendMessage {
            text: Private { person: other, ..send(1).text },
            standing: ChatStanding::In { person: other, moderates: false, chat: true },
            ..send(u128::MAX)
        };
        assert!(decide(&state, by_other).is_ok());
        let moderates = ChatStanding::In { person: ANNA, moderates: true, chat: true };
        assert!(decide(&state, SendMessage { standing: moderates, ..send(u128::MAX) }).is_ok());
    }

    #[test]
    fn the_standing_is_what_the_session_says() {
        use crate::{SessionRole::Participant, session::scene::*, settings::SettingValue};
        let mut scene = Scene::ready(&[SettingValue::Lobby(true)]);
        scene.knocks(1, PATIENT);
        assert_eq!(scene.state.chat_standing(ParticipantId(1)), ChatStanding::NotIn);
        scene.joins(2, SISTER, Participant);
        let writes = ChatStanding::In { person: SISTER, moderates: false, chat: true };
        assert_eq!(scene.state.chat_standing(ParticipantId(2)), writes);
        scene.does(scene.end());
        assert_eq!(scene.state.chat_standing(ParticipantId(2)), ChatStanding::SessionNotLive);
    }

    #[test]
    fn golden_files() {
        let sent = MessageSent { message: MessageId(1), author: ParticipantId(1), text: send(1).text };
        let removed = MessageRemoved { message: MessageId(1), by: ParticipantId(2) };
        golden::check::<Chat>(&[sent.into(), removed.into()]);
    }
}
