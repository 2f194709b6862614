//! What happened in many sessions: the events that the domain itself decides, ready to append.

use bytes::Bytes;
use witan_domain::aggregate::{Aggregate, EventPayload};
use witan_domain::chat::{Chat, ChatCommand, SendMessage};
use witan_domain::participant::{Arrival, MediaSource};
use witan_domain::private::{Ciphertext, Private};
use witan_domain::room::{CreateRoom, OpenSession, ReleaseSession, Room, RoomDetails, RoomEvent};
use witan_domain::session::{
    AdmitParticipant, EndReason, EndSession, Entry, JoinSession, Knock, LeaveSession, MuteParticipant, Opener,
    PrepareSession, Session, SessionCommand, UnmuteParticipant,
};
use witan_domain::settings::{self, Purpose};
use witan_domain::text::{SecretHash, Slug};
use witan_domain::{
    Actor, CorrelationId, EventId, InvitationId, MessageId, OrganizationId, ParticipantId, PersonId, RoomId, SessionId,
    SessionRole, Timestamp, TokenId, UnitId, UserId,
};
use witan_event_store::{Append, ExpectedVersion, Metadata, NewEvent};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const ROOMS: u128 = 200;
const GUESTS: u128 = 9;
const MESSAGES: u128 = 20;
/// A ciphertext of a name or a short message.
const CIPHERTEXT_BYTES: usize = 40;
/// Ids of one session's participants, messages and tokens are this far from the next session's.
const STRIDE: u128 = 1_000;

/// The events of one session, its chat, and its room: three appends.
pub(crate) fn session(number: u128) -> [Append; 3] {
    let mut story = Story::new(number);
    story.does(prepare(number, story.now));
    let host = story.arrival(0, SessionRole::Host);
    let entry = Entry::Token { arrival: Box::new(host), lobby: false };
    story.does(JoinSession { entry, now: story.now });
    for guest in 1..=GUESTS {
        let participant = story.participant(guest);
        let arrival = story.arrival(guest, SessionRole::Participant);
        story.does(Knock { arrival, lobby: true, now: story.now });
        story.does(AdmitParticipant { participant, now: story.now });
        story.does(JoinSession { entry: Entry::Admission { participant }, now: story.now });
        story.does(MuteParticipant { participant, source: MediaSource::Microphone, now: story.now });
        story.does(UnmuteParticipant { participant, source: MediaSource::Microphone, now: story.now });
    }
    for message in 0..MESSAGES {
        story.says(message % (GUESTS + 1), message);
    }
    for guest in 1..=GUESTS {
        story.does(LeaveSession { participant: story.participant(guest), now: story.now });
    }
    story.does(EndSession { reason: EndReason::EndedByHost, now: story.now });
    story.told()
}

/// Messages in the chat of one session, an append each.
pub(crate) fn messages(number: u128, count: u128) -> impl Iterator<Item = Append> {
    let mut story = Story::new(number);
    story.does(prepare(number, story.now));
    let entry = Entry::Token { arrival: Box::new(story.arrival(0, SessionRole::Host)), lobby: false };
    story.does(JoinSession { entry, now: story.now });
    (0..count).map(move |message| {
        story.says(0, message);
        let events = vec![story.chat_events.pop().expect("a message was sent")];
        let stream = Chat::stream(SessionId(number));
        Append { stream, organization: Some(ORGANIZATION), expected: ExpectedVersion::Any, events, now: story.now }
    })
}

struct Story {
    number: u128,
    now: Timestamp,
    session: <Session as Aggregate>::State,
    chat: <Chat as Aggregate>::State,
    session_events: Vec<NewEvent>,
    chat_events: Vec<NewEvent>,
    /// Of the newest event.
    serial: u128,
}

impl Story {
    fn new(number: u128) -> Story {
        Story {
            number,
            now: Timestamp::from_seconds(1_700_000_000),
            session: Default::default(),
            chat: Default::default(),
            session_events: Vec::new(),
            chat_events: Vec::new(),
            serial: 0,
        }
    }

    fn does(&mut self, command: impl Into<SessionCommand>) {
        let events = Session::decide(&self.session, &command.into()).expect("the story is possible");
        for event in events {
            let new = self.new_event::<Session>(&event);
            self.session_events.push(new);
            self.session = Session::evolve(std::mem::take(&mut self.session), &event, self.now);
        }
        self.now = self.now.plus_seconds(1);
    }

    fn says(&mut self, who: u128, message: u128) {
        let author = self.participant(who);
        let standing = self.session.chat_standing(author);
        let text = private(self.person(who));
        let message = MessageId(self.number * STRIDE + message);
        let command = ChatCommand::from(SendMessage { message, author, text, standing, now: self.now });
        for event in Chat::decide(&self.chat, &command).expect("the story is possible") {
            let new = self.new_event::<Chat>(&event);
            self.chat_events.push(new);
            self.chat = Chat::evolve(std::mem::take(&mut self.chat), &event, self.now);
        }
    }

    fn told(mut self) -> [Append; 3] {
        let session = SessionId(self.number);
        let room_events = self.room_events(session);
        let append = |stream: String, expected: ExpectedVersion, events: Vec<NewEvent>| Append {
            stream,
            organization: Some(ORGANIZATION),
            expected,
            events,
            now: self.now,
        };
        [
            append(Room::stream(room_of(self.number)), ExpectedVersion::Any, room_events),
            append(Session::stream(session), ExpectedVersion::NoStream, self.session_events),
            append(Chat::stream(session), ExpectedVersion::NoStream, self.chat_events),
        ]
    }

    /// The first session of a room comes with the room itself.
    fn room_events(&mut self, session: SessionId) -> Vec<NewEvent> {
        let mut events = Vec::new();
        let state = create_room(room_of(self.number)).into_iter().fold(Default::default(), |state, event| {
            if self.number <= ROOMS {
                events.push(self.new_event::<Room>(&event));
            }
            Room::evolve(state, &event, self.now)
        });
        let prepared = prepare(self.number, self.now);
        let open = OpenSession {
            session,
            organization_active: true,
            settings: prepared.settings,
            opened_by: prepared.opened_by,
            record: None,
            continues: None,
            now: self.now,
        };
        let opened = Room::decide(&state, &open.into()).expect("the story is possible");
        let state = opened.iter().fold(state, |state, event| Room::evolve(state, event, self.now));
        let released = Room::decide(&state, &ReleaseSession { session }.into()).expect("the story is possible");
        events.extend(opened.iter().chain(&released).map(|event| self.new_event::<Room>(event)));
        events
    }

    fn new_event<A: Aggregate>(&mut self, event: &A::Event) -> NewEvent {
        self.serial += 1;
        let id = EventId(self.number * STRIDE + self.serial);
        let metadata = Metadata {
            actor: Actor::User { organization: ORGANIZATION, user: UserId(7), key: None },
            correlation: CorrelationId(id.0),
            causation: None,
            reason: None,
            idempotency: None,
        };
        let metadata = Bytes::from(serde_json::to_vec(&metadata).expect("metadata is plain JSON"));
        let kind = event.kind();
        NewEvent { id, kind: kind.to_owned(), schema: A::schema(kind), metadata, data: event.encode().into() }
    }

    fn participant(&self, who: u128) -> ParticipantId {
        ParticipantId(self.number * STRIDE + who)
    }

    fn person(&self, who: u128) -> PersonId {
        PersonId(self.number * STRIDE + who)
    }

    fn arrival(&self, who: u128, role: SessionRole) -> Arrival {
        let person = self.person(who);
        Arrival {
            participant: self.participant(who),
            person,
            user: role.moderates().then_some(UserId(7)),
            invitation: (!role.moderates()).then_some(InvitationId(person.0)),
            role,
            display_name: private(person),
            external_id: None,
            device: Some(private(person)),
            token: TokenId(person.0),
            resume_secret_sha256: SecretHash([u8::try_from(who).unwrap_or(0); 32]),
            moved: false,
        }
    }
}

fn room_of(session: u128) -> RoomId {
    RoomId(session % ROOMS)
}

fn create_room(room: RoomId) -> Vec<RoomEvent> {
    let details = RoomDetails {
        name: "A room".to_owned(),
        slug: Slug::try_new(format!("room-{}", room.0)).expect("it is a slug"),
        description: String::new(),
        purpose: Purpose::Consultation,
        owner: UserId(7),
        logo_url: None,
        not_before: None,
        not_after: None,
    };
    let create = CreateRoom {
        organization: ORGANIZATION,
        room,
        unit: UnitId(1),
        unit_living: true,
        details,
        owner_active: true,
    };
    Room::decide(&Default::default(), &create.into()).expect("the story is possible")
}

fn prepare(number: u128, now: Timestamp) -> PrepareSession {
    PrepareSession {
        session: SessionId(number),
        organization: ORGANIZATION,
        unit: UnitId(1),
        room: room_of(number),
        purpose: Purpose::Consultation,
        settings: settings::resolve(Purpose::Consultation, &Default::default(), &[], &Default::default()),
        opened_by: Opener::User(UserId(7)),
        record: None,
        continues: None,
        media_needed: false,
        now,
    }
}

fn private(person: PersonId) -> Private {
    Private { person, ciphertext: Ciphertext(vec![0x5a; CIPHERTEXT_BYTES]) }
}
