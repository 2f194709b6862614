//! A log to fold in tests: what the domain decides, in a store in memory.

use std::sync::Arc;

use bytes::Bytes;
use witan_domain::{
    Actor, Aggregate, ApiKeyId, CorrelationId, EventId, EventPayload, InvitationId, MessageId, OrganizationId,
    ParticipantId, PersonId, Private, RoomId, SessionId, SessionRole, StreamId, Timestamp, TokenId, UnitId, UserId,
    chat::{Chat, RemoveMessage, SendMessage},
    media::{MuteStream, PublishStream, SessionMedia, UnpublishStream},
    participant::{Arrival, ConsentPurpose, MediaSource},
    private::Ciphertext,
    session::*,
    settings::{EffectiveSettings, SettingValue},
    text::SecretHash,
};
use witan_event_store::{
    Append, Direction, EventStore, ExpectedVersion, Metadata, NewEvent, Position, Recorded, memory::MemoryStore,
};

pub const CLINIC: OrganizationId = OrganizationId(1);
pub const COURT: OrganizationId = OrganizationId(2);
pub const ANNA: UserId = UserId(11);
pub const CARDIOLOGY: UnitId = UnitId(21);
pub const ROOM: RoomId = RoomId(31);
pub const SESSION: SessionId = SessionId(41);
pub const KEY: ApiKeyId = ApiKeyId(51);
pub const INVITATION: InvitationId = InvitationId(61);
pub const DOCTOR: PersonId = PersonId(71);
pub const PATIENT: PersonId = PersonId(72);

pub fn private(person: PersonId, text: &str) -> Private {
    Private { person, ciphertext: Ciphertext(text.as_bytes().to_vec()) }
}

pub fn arrival(n: u128, person: PersonId, role: SessionRole) -> Arrival {
    Arrival {
        participant: ParticipantId(n),
        person,
        user: role.moderates().then_some(ANNA),
        invitation: (!role.moderates()).then_some(INVITATION),
        role,
        display_name: private(person, "a name"),
        external_id: Some(private(person, "an id")),
        device: n.is_multiple_of(2).then(|| private(person, "a device")),
        token: TokenId(n),
        resume_secret_sha256: SecretHash([n as u8; 32]),
        moved: false,
    }
}

pub fn prepare(session: SessionId, organization: OrganizationId, settings: &[SettingValue]) -> PrepareSession {
    let settings = EffectiveSettings::default().opened_with(settings).unwrap();
    PrepareSession {
        session,
        organization,
        unit: CARDIOLOGY,
        room: ROOM,
        purpose: witan_domain::settings::Purpose::Consultation,
        settings,
        opened_by: Opener::User(ANNA),
        record: Some(private(PATIENT, "file 4711")),
        continues: None,
        media_needed: true,
        now: Timestamp(0),
    }
}

/// The log, and its clock.
pub struct Log {
    pub store: Arc<MemoryStore>,
    pub now: Timestamp,
    events: u128,
}

impl Log {
    pub fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new()), now: Timestamp::from_seconds(1_700_000_000), events: 0 }
    }

    pub fn newest(&self) -> Position {
        *self.store.durable().borrow()
    }

    pub fn all(&self) -> Vec<Recorded> {
        self.store.read_all(Position(1), Direction::Forward, usize::MAX).unwrap()
    }

    /// The stream's state as the domain folds it.
    pub fn state<A: Aggregate>(&self, id: A::Id) -> A::State {
        let recorded = self.store.read_stream(&A::stream(id), 0, Direction::Forward, usize::MAX).unwrap();
        recorded.iter().map(|recorded| &recorded.envelope).fold(A::State::default(), |state, envelope| {
            let event = A::decode(envelope.kind(), envelope.schema(), envelope.data()).unwrap();
            A::evolve(state, &event, envelope.recorded_at())
        })
    }

    /// Asks the domain, and records what it says. False when it refused.
    pub async fn asks<A: Aggregate>(
        &mut self,
        organization: OrganizationId,
        id: A::Id,
        command: impl Into<A::Command>,
    ) -> bool {
        let Ok(events) = A::decide(&self.state::<A>(id), &command.into()) else { return false };
        for event in events {
            self.records(Some(organization), &A::stream(id), event.kind(), event.encode()).await;
        }
        true
    }

    pub async fn does<A: Aggregate>(
        &mut self,
        organization: OrganizationId,
        id: A::Id,
        command: impl Into<A::Command>,
    ) {
        let command = command.into();
        if let Err(no) = A::decide(&self.state::<A>(id), &command) {
            panic!("{} {id}: {no}", A::CATEGORY);
        }
        self.asks::<A>(organization, id, command).await;
    }

    pub async fn records(&mut self, organization: Option<OrganizationId>, stream: &str, kind: &str, data: Vec<u8>) {
        self.events += 1;
        let actor = match (organization, self.events % 3) {
            (Some(organization), 0) => Actor::User { organization, user: ANNA, key: Some(KEY) },
            (Some(organization), 1) => {
                Actor::Participant { organization, session: SESSION, participant: ParticipantId(1) }
            }
            (_, 2) => Actor::Operator,
            (_, _) => Actor::System,
        };
        let metadata = Metadata {
            actor,
            correlation: CorrelationId(self.events),
            causation: Some(EventId(self.events)),
            reason: Some(private(PATIENT, "why")),
            idempotency: None,
        };
        let event = NewEvent {
            id: EventId(1_000_000 + self.events),
            kind: kind.to_owned(),
            schema: 1,
            metadata: Bytes::from(serde_json::to_vec(&metadata).unwrap()),
            data: data.into(),
        };
        self.now = self.now.plus_seconds(1);
        let append = Append {
            stream: stream.to_owned(),
            organization,
            expected: ExpectedVersion::Any,
            events: vec![event],
            now: self.now,
        };
        self.store.append(append).await.unwrap();
    }

    /// Something that anyone might ask of a session or its chat, by the dice.
    pub async fn something_happens(&mut self, dice: &mut Dice, organization: OrganizationId, session: SessionId) {
        let participant = ParticipantId(dice.up_to(30));
        let person = PersonId(100 + participant.0 % 8);
        let role = SessionRole::ALL[dice.up_to(6) as usize];
        let source = MediaSource::ALL[dice.up_to(4) as usize];
        let purpose = ConsentPurpose::ALL[dice.up_to(2) as usize];
        let now = self.now.plus_seconds(1);
        let command: SessionCommand = match dice.up_to(30) {
            0 => prepare(session, organization, &[]).into(),
            1 => MarkSessionReady { now }.into(),
            2 | 3 => Knock { arrival: arrival(participant.0, person, role), lobby: dice.up_to(2) == 0, now }.into(),
            4 => WithdrawKnock { participant, now }.into(),
            5 => AdmitParticipant { participant, now }.into(),
            6 => AdmitAll { now }.into(),
            7 => DenyParticipant { participant, reason: Some(private(person, "no")), now }.into(),
            8..=10 => {
                let arrival = Box::new(arrival(participant.0, person, role));
                JoinSession { entry: Entry::Token { arrival, lobby: false }, now }.into()
            }
            11 => JoinSession { entry: Entry::Admission { participant }, now }.into(),
            12 => DropParticipant { participant, now }.into(),
            13 => ReconnectParticipant { participant, now }.into(),
            14 => LeaveSession { participant, now }.into(),
            15 => HoldParticipant { participant, now }.into(),
            16 => ReleaseParticipant { participant, now }.into(),
            17 => MoveParticipant { participant, to: SessionId(session.0 + 1), now }.into(),
            18 => RemoveParticipant { participant, ban: dice.up_to(2) == 0, reason: None, now }.into(),
            19 => MuteParticipant { participant, source, now }.into(),
            20 => UnmuteParticipant { participant, source, now }.into(),
            21 => ChangeParticipantRole { participant, role, now }.into(),
            22 => LockSession { now }.into(),
            23 => UnlockSession { now }.into(),
            24 => ExtendSession { minutes: 15, now }.into(),
            25 => ChangeSessionSetting { value: SettingValue::Lobby(dice.up_to(2) == 0), now }.into(),
            26 => {
                let (text_version, language) = ("2026-03".to_owned(), "de-CH".to_owned());
                GiveConsent { participant, purpose, text_version, language, given_by: participant, now }.into()
            }
            27 => WithdrawConsent { participant, purpose, withdrawn_by: participant, now }.into(),
            28 if session != SESSION && dice.up_to(6) == 0 => {
                EndSession { reason: EndReason::EndedByAdmin, now }.into()
            }
            _ => return self.someone_writes(dice, organization, session, participant, person).await,
        };
        self.asks::<Session>(organization, session, command).await;
    }

    pub async fn host_writes(&mut self, message: MessageId) {
        let author = ParticipantId(1_000);
        let standing = self.state::<Session>(SESSION).chat_standing(author);
        let text = private(DOCTOR, "hello");
        self.does::<Chat>(CLINIC, SESSION, SendMessage { message, author, text, standing, now: self.now }).await;
    }

    /// The host publishes a source anew: the stream before it, if any, ends.
    pub async fn host_sends(&mut self, stream: StreamId, source: MediaSource) {
        let (participant, now) = (ParticipantId(1_000), self.now);
        let before = self.state::<SessionMedia>(SESSION);
        if let Some(old) = before.live().find(|old| old.participant == participant && old.source == source) {
            let unpublish = UnpublishStream { stream: old.stream, participant, now };
            self.does::<SessionMedia>(CLINIC, SESSION, unpublish).await;
        }
        let standing = self.state::<Session>(SESSION).media_standing(participant);
        let (kind, codec, layers, muted) = (source.kind(), "VP8".to_owned(), 3, false);
        let publish = PublishStream { stream, participant, source, kind, codec, layers, muted, standing, now };
        self.does::<SessionMedia>(CLINIC, SESSION, publish).await;
        self.does::<SessionMedia>(CLINIC, SESSION, MuteStream { stream, participant, now }).await;
    }

    async fn someone_writes(
        &mut self,
        dice: &mut Dice,
        organization: OrganizationId,
        session: SessionId,
        author: ParticipantId,
        person: PersonId,
    ) {
        let standing = self.state::<Session>(session).chat_standing(author);
        let (message, now) = (MessageId(dice.up_to(20)), self.now);
        if dice.up_to(4) == 0 {
            self.asks::<Chat>(organization, session, RemoveMessage { message, by: author, standing, now }).await;
        } else {
            let text = private(person, "hello");
            self.asks::<Chat>(organization, session, SendMessage { message, author, text, standing, now }).await;
        }
    }
}

/// Chance that a seed repeats.
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to `below` - 1.
    pub fn up_to(&mut self, below: u128) -> u128 {
        // xorshift64*: enough for dice.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}
