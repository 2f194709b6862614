//! The ways in for those who have neither an account nor an invitation: a password, and a grant for anyone.

use witan_auth::JoinToken;
use witan_domain::{Actor, Aggregate, RoomId, SessionId, policy::Who, room::Room, settings::Purpose};
use witan_event_store::EventStore;

use crate::{
    entry::Entered,
    history::Part,
    join_tokens::{Door, STRANGERS_AT_ONCE, Ticket},
    opening::OpeningInput,
    passwords::WRONG_PASSWORDS_AT_ONCE,
    policies::{GrantInput, PoliciesInput, RulesInput, WhoInput},
    testing::*,
    *,
};

const PASSWORD: &str = "correct horse";

fn to(who: Who) -> GrantInput {
    GrantInput { who: WhoInput::Those(who), lobby: false }
}

fn by_lobby(grant: GrantInput) -> GrantInput {
    GrantInput { lobby: true, ..grant }
}

fn knows(password: &str) -> GrantInput {
    GrantInput { who: WhoInput::Password(Some(password.into())), lobby: false }
}

/// Whoever knows the password that the list has already.
fn knows_still() -> GrantInput {
    GrantInput { who: WhoInput::Password(None), lobby: false }
}

fn join(grants: Vec<GrantInput>) -> PoliciesInput {
    PoliciesInput { set: RulesInput { join: Some(grants), ..Default::default() }, ..Default::default() }
}

fn floor(grants: Vec<GrantInput>) -> PoliciesInput {
    PoliciesInput { floor: RulesInput { join: Some(grants), ..Default::default() }, ..Default::default() }
}

/// A tenant with a meeting room, in which no lobby is set.
struct Clinic {
    world: World,
    tenant: Tenant,
    room: RoomId,
}

impl Clinic {
    async fn with(grants: Vec<GrantInput>) -> Self {
        let world = World::new();
        let tenant = world.tenant("clinic").await;
        let input = rooms::RoomInput { purpose: Purpose::Meeting, ..room("meeting", Some(tenant.host_id)) };
        let (room, _) = world.app.create_room(&world.ask(&tenant.owner), tenant.unit, &input).await.unwrap();
        let this = Self { world, tenant, room };
        this.sets(join(grants)).await.unwrap();
        this
    }

    async fn sets(&self, policies: PoliciesInput) -> Result<Outcome<Room>, Error> {
        self.world.app.set_room_policies(&self.world.ask(&self.tenant.owner), self.room, policies).await
    }

    async fn opens(&self) -> SessionId {
        let request = self.world.ask(&self.tenant.host);
        self.world.app.open_session(&request, self.room, &OpeningInput::default()).await.unwrap().0
    }

    async fn stranger(&self, password: Option<&str>) -> Result<Ticket, Error> {
        self.asks(&Actor::Anonymous, Door::Room(self.room), password).await
    }

    async fn asks(&self, actor: &Actor, door: Door, password: Option<&str>) -> Result<Ticket, Error> {
        self.world.app.create_join_token(&self.world.ask(actor), door, password).await
    }

    async fn joins(&self, ticket: &Ticket) -> Result<Entered, Error> {
        let request = self.world.ask(&Actor::Anonymous);
        self.world.app.join_by_token(&request, &ticket.token, &called("Robin")).await
    }

    async fn knocks(&self, ticket: &Ticket) -> Result<Entered, Error> {
        self.world.app.knock(&self.world.ask(&Actor::Anonymous), &ticket.token, &called("Robin")).await
    }

    /// A user without a role, whom the room doesn't name.
    async fn member(&self) -> Actor {
        let (member, _) =
            self.world.app.create_user(&self.world.ask(&self.tenant.owner), &user("member")).await.unwrap();
        Actor::User { organization: self.tenant.organization, user: member, key: None }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_knows_the_password_comes_in_as_a_guest() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    let session = door.opens().await;
    assert_eq!(code(door.stranger(None).await), "ENTRY_REFUSED");
    assert_eq!(code(door.stranger(Some("wrong horse")).await), "ENTRY_REFUSED");
    assert_eq!(code(door.stranger(Some("short")).await), "ENTRY_REFUSED");
    let ticket = door.stranger(Some(PASSWORD)).await.unwrap();
    let JoinToken { role, lobby, user, invitation, .. } = ticket.claims;
    assert_eq!((role, lobby), (witan_domain::SessionRole::Participant, false));
    assert_eq!((user, invitation), (None, None));
    let other = door.asks(&Actor::Anonymous, Door::Session(session), Some(PASSWORD)).await.unwrap();
    assert_ne!(ticket.claims.person, other.claims.person, "each guest is a person");
    assert_eq!(code(door.joins(&ticket).await), "OK");
    assert_eq!(code(door.joins(&ticket).await), "TOKEN_ALREADY_REDEEMED");
    assert_eq!(code(door.joins(&other).await), "OK");
    let record = door.world.session(&door.tenant, session);
    assert_eq!(record.present_count, 2);
    assert!(record.participants.iter().all(|there| there.user.is_none() && there.invitation.is_none()));

    let member = door.member().await;
    assert_eq!(code(door.asks(&member, Door::Session(session), Some("wrong horse")).await), "FORBIDDEN");
    let ticket = door.asks(&member, Door::Room(door.room), Some(PASSWORD)).await.unwrap();
    assert_eq!((ticket.claims.user, code(door.joins(&ticket).await)), (acting(&member), "OK"));
}

fn acting(actor: &Actor) -> Option<witan_domain::UserId> {
    match actor {
        Actor::User { user, .. } => Some(*user),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_hear_one_refusal() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    let consultations = Door::Room(door.tenant.room);
    let unknown = [Door::Room(RoomId(99)), Door::Session(SessionId(99))];
    let refusal = async |door_to: Door, password: Option<&str>| {
        let request = door.world.ask(&Actor::Anonymous);
        match door.world.app.create_join_token(&request, door_to, password).await {
            Err(Error::Rejected { code, field, message }) => {
                (code, field, message.replace(&request.correlation.to_string(), "…"))
            }
            other => panic!("{}", code(other)),
        }
    };
    let before = door.world.newest();
    let first = refusal(unknown[0], None).await;
    assert_eq!(first.0, "ENTRY_REFUSED");
    for password in [None, Some("wrong horse")] {
        assert_eq!(refusal(unknown[0], password).await, first, "there is no such room");
        assert_eq!(refusal(unknown[1], password).await, first, "there is no such session");
        assert_eq!(refusal(consultations, password).await, first, "no grant is for them");
        assert_eq!(refusal(Door::Room(door.room), password).await, first, "they don't know it, and none is live");
    }
    let live = Door::Session(door.opens().await);
    assert_eq!(refusal(live, Some("wrong horse")).await, first);
    assert_eq!(refusal(live, None).await, first);
    let opened = door.world.newest();
    for (place, of) in [(unknown[0], "unknown"), (consultations, "closed to them")] {
        let mut codes = Vec::new();
        for _ in 0..=WRONG_PASSWORDS_AT_ONCE {
            codes.push(refusal(place, Some("wrong horse")).await.0);
        }
        assert_eq!(codes.last(), Some(&"TOO_MANY_ATTEMPTS"), "{of}");
    }
    door.sets(join(vec![to(Who::Anyone)])).await.unwrap();
    let opened = door.world.newest().max(opened);
    for _ in 0..2 * WRONG_PASSWORDS_AT_ONCE {
        assert_eq!(code(door.stranger(Some("needless horse")).await), "OK", "where anyone may, none is wrong");
    }
    assert_eq!((before < opened, door.world.newest()), (true, opened), "nothing that strangers ask is recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_enter_is_told_that_nobody_has_opened() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "NO_LIVE_SESSION");
    assert_eq!(code(door.asks(&door.tenant.host, Door::Room(door.room), None).await), "NO_LIVE_SESSION");
    assert_eq!(code(door.asks(&door.member().await, Door::Room(door.room), None).await), "FORBIDDEN");
    let session = door.opens().await;
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "OK");
    door.world.app.end_session(&door.world.ask(&door.tenant.host), session).await.unwrap();
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "NO_LIVE_SESSION");
    let ended = Door::Session(session);
    assert_eq!(code(door.asks(&Actor::Anonymous, ended, Some(PASSWORD)).await), "SESSION_NOT_LIVE");
    assert_eq!(code(door.asks(&Actor::Anonymous, ended, Some("wrong horse")).await), "ENTRY_REFUSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anyone_comes_in_by_the_lobby_and_may_no_more_than_a_guest() {
    let door = Clinic::with(vec![by_lobby(to(Who::Anyone))]).await;
    let (app, session) = (&door.world.app, door.opens().await);
    let ticket = door.stranger(None).await.unwrap();
    assert!(ticket.claims.lobby);
    assert_eq!(code(door.joins(&ticket).await), "KNOCK_NEEDED");
    let entered = door.knocks(&ticket).await.unwrap();
    let guest = app.participant_by_resume_secret(&entered.resume_secret).await.unwrap().unwrap();
    let ask = || door.world.ask(&guest);
    assert_eq!(code(app.join_by_admission(&ask(), session).await), "PARTICIPANT_NOT_ADMITTED");
    assert_eq!(code(app.admit_participant(&ask(), session, entered.participant).await), "FORBIDDEN");
    app.admit_participant(&door.world.ask(&door.tenant.host), session, entered.participant).await.unwrap();
    app.join_by_admission(&ask(), session).await.unwrap();
    assert_eq!(code(app.send_message(&ask(), session, "Hello").await), "OK");
    let refused = [
        code(app.admit_all(&ask(), session).await),
        code(app.end_session(&ask(), session).await),
        code(app.lock_session(&ask(), session).await),
        code(app.remove_participant(&ask(), session, entered.participant, false, None).await),
        code(app.session_history(&ask(), session, Part::Session, 0, Direction::Forward, 1).await),
        code(app.disable_room(&ask(), door.room).await),
        code(app.create_join_token(&ask(), Door::Session(session), None).await),
        code(app.organization_activity(&ask(), None).await),
    ];
    assert!(refused.iter().all(|code| *code == "FORBIDDEN"), "{refused:?}");
    let consultation = door.world.opens(&door.tenant).await;
    assert_eq!(code(app.send_message(&ask(), consultation, "Hello").await), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_floor_that_is_stricter_holds_also_against_tokens_made_before() {
    let door = Clinic::with(vec![knows(PASSWORD), by_lobby(to(Who::Anyone))]).await;
    let app = &door.world.app;
    let owner = || door.world.ask(&door.tenant.owner);
    door.opens().await;
    let before = door.stranger(Some(PASSWORD)).await.unwrap();
    assert!(!before.claims.lobby);
    app.set_organization_policies(&owner(), floor(vec![by_lobby(to(Who::Anyone))])).await.unwrap();
    assert!(door.stranger(Some(PASSWORD)).await.unwrap().claims.lobby);
    assert_eq!(code(door.joins(&before).await), "KNOCK_NEEDED", "the floor's lobby came between");
    app.set_organization_policies(&owner(), floor(vec![to(Who::OrganizationUsers)])).await.unwrap();
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "ENTRY_REFUSED");
    assert_eq!(code(door.stranger(None).await), "ENTRY_REFUSED");
    assert_eq!(code(door.knocks(&before).await), "JOIN_TOKEN_INVALID");
    assert_eq!(code(door.sets(join(vec![knows("another horse")])).await), "POLICY_LOOSER_THAN_FLOOR");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed_opens_nothing_any_more() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    door.opens().await;
    let (kept, changed) = (door.stranger(Some(PASSWORD)).await.unwrap(), door.stranger(Some(PASSWORD)).await.unwrap());
    door.sets(join(vec![knows_still(), to(Who::NamedPeople)])).await.unwrap();
    assert_eq!(code(door.joins(&kept).await), "OK", "it was kept, since none was given");
    door.sets(join(vec![knows("another horse")])).await.unwrap();
    assert_eq!(code(door.joins(&changed).await), "JOIN_TOKEN_INVALID");
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "ENTRY_REFUSED");
    assert_eq!(code(door.stranger(Some("another horse")).await), "OK");
    door.sets(join(vec![to(Who::NamedPeople)])).await.unwrap();
    assert_eq!(code(door.stranger(Some("another horse")).await), "ENTRY_REFUSED");
    match door.sets(join(vec![knows_still()])).await {
        Err(Error::Rejected { code, field, .. }) => {
            assert_eq!((code, field.as_deref()), ("INVALID_INPUT", Some("password")));
        }
        other => panic!("there is none to keep: {}", code(other)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_away_since_a_token_was_made_lets_nobody_in() {
    let door = Clinic::with(vec![to(Who::NamedPeople), to(Who::Invitation)]).await;
    let (app, owner) = (&door.world.app, || door.world.ask(&door.tenant.owner));
    let session = door.opens().await;
    let member = door.member().await;
    let user = acting(&member).unwrap();
    app.add_room_person(&owner(), door.room, user, witan_domain::SessionRole::Host).await.unwrap();
    let named = door.asks(&member, Door::Session(session), None).await.unwrap();
    app.remove_room_person(&owner(), door.room, user).await.unwrap();
    assert_eq!(code(door.joins(&named).await), "JOIN_TOKEN_INVALID");

    let input = door.world.invitation("Pat");
    let invitation = app.create_invitation(&owner(), door.room, &input).await.unwrap();
    let anonymous = door.world.ask(&Actor::Anonymous);
    let invited = app.exchange_invitation(&anonymous, invitation.invitation, &invitation.secret).await.unwrap();
    app.revoke_invitation(&owner(), invitation.invitation).await.unwrap();
    assert_eq!(code(door.joins(&invited).await), "JOIN_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_are_few_and_lock_no_user_out() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    door.opens().await;
    for _ in 0..WRONG_PASSWORDS_AT_ONCE {
        assert_eq!(code(door.stranger(Some("wrong horse")).await), "ENTRY_REFUSED");
    }
    assert_eq!(code(door.stranger(Some("wrong horse")).await), "TOO_MANY_ATTEMPTS");
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "TOO_MANY_ATTEMPTS");
    let member = door.member().await;
    assert_eq!(code(door.asks(&member, Door::Room(door.room), Some(PASSWORD)).await), "OK");
    door.world.clock.pass(6);
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "OK");
    assert_eq!(code(door.stranger(Some("wrong horse")).await), "ENTRY_REFUSED");
    assert_eq!(code(door.stranger(Some(PASSWORD)).await), "TOO_MANY_ATTEMPTS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_come_at_a_bounded_rate_and_leave_nothing_behind_until_they_are_in() {
    let door = Clinic::with(vec![to(Who::Anyone)]).await;
    door.opens().await;
    let before = door.world.newest();
    for _ in 0..STRANGERS_AT_ONCE {
        assert_eq!(code(door.stranger(None).await), "OK");
    }
    assert_eq!(code(door.stranger(None).await), "TOO_MANY_GUESTS");
    assert_eq!(door.world.newest(), before, "a token that nobody redeems is nowhere");
    door.world.clock.pass(1);
    let ticket = door.stranger(None).await.unwrap();
    door.world.app.lock_session(&door.world.ask(&door.tenant.host), ticket.claims.session).await.unwrap();
    assert_eq!(code(door.joins(&ticket).await), "SESSION_LOCKED");
    let erased = door.world.app.vault.disclose(door.tenant.organization, ticket.claims.person, "", "");
    assert!(erased.is_err(), "who was refused has no key in the vault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_with_one_idempotency_key_are_two_people() {
    let door = Clinic::with(vec![to(Who::Anyone)]).await;
    door.opens().await;
    let ask = || door.world.ask_once(&Actor::Anonymous, "1", "the same words");
    let app = &door.world.app;
    let first = app.create_join_token(&ask(), Door::Room(door.room), None).await.unwrap();
    let second = app.create_join_token(&ask(), Door::Room(door.room), None).await.unwrap();
    assert_ne!(first.claims.id, second.claims.id);
    let one = app.join_by_token(&ask(), &first.token, &called("Robin")).await.unwrap();
    let other = app.join_by_token(&ask(), &second.token, &called("Alex")).await.unwrap();
    assert_ne!((one.participant, &one.resume_secret), (other.participant, &other.resume_secret));
    let again = app.join_by_token(&ask(), &first.token, &called("Robin")).await.unwrap();
    assert_eq!((one.participant, &one.resume_secret), (again.participant, &again.resume_secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_set_again_is_the_same_hash_and_is_never_shown() {
    let door = Clinic::with(vec![knows(PASSWORD)]).await;
    let (world, app, owner) = (&door.world, &door.world.app, &door.tenant.owner);
    assert_eq!(door.sets(join(vec![knows(PASSWORD)])).await.unwrap().position, None, "nothing has changed");
    let set = async |password: &str| {
        let request = world.ask_once(owner, "set", password);
        app.set_room_policies(&request, door.room, join(vec![knows(password)])).await
    };
    let first = set("another horse").await.unwrap().position;
    let newest = world.newest();
    assert_eq!(set("another horse").await.unwrap().position, first, "a retry gets the first answer");
    assert_eq!(code(set("a third horse").await), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!((world.newest(), first.is_some()), (newest, true));

    let stream = Room::stream(door.room);
    let recorded = world.store.read_stream(&stream, u64::MAX, Direction::Backward, 1).unwrap().pop().unwrap();
    let stored = String::from_utf8_lossy(recorded.envelope.data()).into_owned();
    assert!(stored.contains("$argon2id$") && !stored.contains("horse"), "{stored}");
    let metadata = String::from_utf8_lossy(recorded.envelope.metadata()).into_owned();
    assert!(!metadata.contains(&sources::sha256_hex(b"another horse")), "the input can't be guessed by its hash");
    let shown = app.reveal_event(door.tenant.organization, &recorded).unwrap().data;
    assert_eq!(shown["policies"]["set"]["join"][0]["who"], "password");
    assert!(!shown.to_string().contains("argon2"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_password_is_refused_before_it_is_hashed_and_after_it_was_asked_who_may() {
    let door = Clinic::with(vec![]).await;
    match door.sets(join(vec![knows("short")])).await {
        Err(Error::Rejected { field, message, .. }) => {
            assert_eq!(field.as_deref(), Some("password"));
            assert_eq!(message, "password has 5 characters; expected 8 to 128");
        }
        other => panic!("{}", code(other)),
    }
    let request = door.world.ask(&door.member().await);
    let result = door.world.app.set_room_policies(&request, door.room, join(vec![knows("short")])).await;
    assert_eq!(code(result), "FORBIDDEN");
    // Before any is hashed: the second is none that could be.
    assert_eq!(code(door.sets(join(vec![knows(PASSWORD), knows("short")])).await), "INVALID");
    let many = (0..=witan_domain::policy::GRANTS_MAX).map(|_| to(Who::Anyone)).chain([knows("short")]).collect();
    assert_eq!(code(door.sets(join(many)).await), "INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_knows_the_password_of_the_open_policy_opens() {
    let door = Clinic::with(vec![to(Who::OrganizationUsers)]).await;
    let open = RulesInput { open: Some(vec![knows(PASSWORD)]), ..Default::default() };
    door.sets(PoliciesInput { set: open, ..Default::default() }).await.unwrap();
    let member = door.member().await;
    let opens = async |password: Option<&str>| {
        let input = OpeningInput { password: password.map(str::to_owned), ..OpeningInput::default() };
        code(door.world.app.open_session(&door.world.ask(&member), door.room, &input).await)
    };
    assert_eq!(opens(None).await, "FORBIDDEN");
    assert_eq!(opens(Some("wrong horse")).await, "FORBIDDEN");
    assert_eq!(opens(Some(PASSWORD)).await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_open_where_anyone_may_as_the_room_is_and_not_too_often() {
    let door = Clinic::with(vec![to(Who::Anyone)]).await;
    let app = &door.world.app;
    let opens = async |input: OpeningInput| {
        let request = door.world.ask(&Actor::Anonymous);
        app.open_session(&request, door.room, &input).await.map(|(session, _)| session)
    };
    assert_eq!(code(opens(OpeningInput::default()).await), "ENTRY_REFUSED");
    let request = door.world.ask(&Actor::Anonymous);
    let unknown = app.open_session(&request, RoomId(99), &OpeningInput::default()).await;
    assert_eq!(code(unknown), "ENTRY_REFUSED");
    let open = RulesInput { open: Some(vec![to(Who::Anyone)]), ..Default::default() };
    door.sets(PoliciesInput { set: RulesInput { join: Some(vec![to(Who::Anyone)]), ..open }, ..Default::default() })
        .await
        .unwrap();
    let record = OpeningInput { record_id: Some("4711".into()), ..Default::default() };
    assert_eq!(code(opens(record).await), "INVALID_INPUT");
    for _ in 0..crate::opening::OPENINGS_AT_ONCE {
        let session = opens(OpeningInput::default()).await.unwrap();
        assert_eq!(door.world.session(&door.tenant, session).opened_by, witan_domain::session::Opener::Guest);
        assert_eq!(code(door.stranger(None).await), "OK");
        app.end_session(&door.world.ask(&door.tenant.host), session).await.unwrap();
    }
    assert_eq!(code(opens(OpeningInput::default()).await), "TOO_MANY_OPENINGS");
    assert_eq!(door.opens().await, door.stranger(None).await.unwrap().claims.session, "a host opens as ever");
}
