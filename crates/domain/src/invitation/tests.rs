use super::*;
use crate::private::Ciphertext;

const PERSON: PersonId = PersonId(4);
const SECRET: SecretHash = SecretHash([9; 32]);
const OPENS: Timestamp = Timestamp::from_seconds(100_000);
const CLOSES: Timestamp = Timestamp::from_seconds(103_600);

fn private(person: PersonId) -> Private {
    Private { person, ciphertext: Ciphertext(vec![1, 2]) }
}

fn creating(change: impl FnOnce(&mut CreateInvitation)) -> InvitationCommand {
    let mut create = CreateInvitation {
        organization: OrganizationId(1),
        invitation: InvitationId(2),
        room: RoomId(3),
        room_living: true,
        details: InvitationDetails {
            person: PERSON,
            display_name: private(PERSON),
            email: Some(private(PERSON)),
            external_id: None,
            role: SessionRole::Participant,
            not_before: OPENS,
            not_after: CLOSES,
        },
        secret_sha256: SECRET,
        now: Timestamp(0),
    };
    change(&mut create);
    create.into()
}

fn exchange(secret_sha256: SecretHash, now: Timestamp) -> InvitationCommand {
    InvitationCommand::ExchangeInvitation(ExchangeInvitation { secret_sha256, token: TokenId(5), now })
}

/// The state after these commands, each of which must be accepted.
fn given(commands: &[InvitationCommand]) -> InvitationState {
    commands.iter().fold(InvitationState::default(), |state, command| {
        let events = Invitation::decide(&state, command).unwrap();
        events.iter().fold(state, |state, event| Invitation::evolve(state, event, Timestamp(1)))
    })
}

#[test]
fn create_invitation() {
    let state = given(&[creating(|_| {})]);
    assert_eq!(Invitation::decide(&state, &creating(|_| {})), Ok(vec![]));
    let other = creating(|create| create.details.role = SessionRole::Host);
    assert_eq!(Invitation::decide(&state, &other), Err(InvitationRejection::InvitationAlreadyExists));
    let refused = |change: fn(&mut CreateInvitation)| {
        Invitation::decide(&InvitationState::Absent, &creating(change)).expect_err("refused")
    };
    assert_eq!(refused(|create| create.room_living = false), InvitationRejection::RoomNotLiving);
    assert_eq!(refused(|create| create.now = CLOSES).field(), Some("notAfter"));
    assert_eq!(refused(|create| create.details.not_after = OPENS).field(), Some("notAfter"));
    assert_eq!(refused(|create| create.details.not_after = OPENS.plus_seconds(367 * 86_400)).code(), "INVALID");
    assert_eq!(
        refused(|create| create.details.email = Some(private(PersonId(9)))),
        InvitationRejection::PrivateOfAnother { field: "email" }
    );
}

#[test]
fn exchange_invitation() {
    let state = given(&[creating(|_| {})]);
    let at = |now| Invitation::decide(&state, &exchange(SECRET, now));
    let early = Timestamp(OPENS.0 - 15 * 60 * 1_000_000);
    assert_eq!(at(Timestamp(early.0 - 1)), Err(InvitationRejection::InvitationTooEarly));
    assert_eq!(at(early), Ok(vec![InvitationExchanged { token: TokenId(5) }.into()]));
    assert!(at(Timestamp(CLOSES.0 - 1)).is_ok());
    assert_eq!(at(CLOSES), Err(InvitationRejection::InvitationOver));
    let wrong = exchange(SecretHash([8; 32]), OPENS);
    assert_eq!(Invitation::decide(&state, &wrong), Err(InvitationRejection::InvitationNotFound));
    assert_eq!(Invitation::decide(&InvitationState::Absent, &wrong), Err(InvitationRejection::InvitationNotFound));
}

#[test]
fn an_invitation_is_used_up_at_last() {
    let mut state = given(&[creating(|_| {})]);
    for _ in 0..USES_MAX {
        let events = Invitation::decide(&state, &exchange(SECRET, OPENS)).unwrap();
        state = Invitation::evolve(state, &events[0], OPENS);
    }
    let answer = Invitation::decide(&state, &exchange(SECRET, OPENS));
    assert_eq!(answer, Err(InvitationRejection::InvitationUsedUp));
}

#[test]
fn revoke_invitation() {
    let revoke = InvitationCommand::RevokeInvitation(RevokeInvitation {});
    let state = given(&[creating(|_| {}), revoke.clone()]);
    assert_eq!(Invitation::decide(&state, &revoke), Ok(vec![]));
    let answer = Invitation::decide(&state, &exchange(SECRET, OPENS));
    assert_eq!(answer, Err(InvitationRejection::InvitationRevoked));
}

fn wait(now: Timestamp) -> WaitAtDesk {
    WaitAtDesk { secret_sha256: SECRET, room_living: true, display_name: private(PERSON), device: None, now }
}

fn then(state: &InvitationState, command: impl Into<InvitationCommand>, at: Timestamp) -> InvitationState {
    let events = Invitation::decide(state, &command.into()).unwrap();
    events.iter().fold(state.clone(), |state, event| Invitation::evolve(state, event, at))
}

/// What the wait came to.
fn stands(state: &InvitationState) -> Option<WaitState> {
    state.facts().unwrap().wait.as_ref().map(|wait| wait.state)
}

#[test]
fn wait_at_desk() {
    let state = given(&[creating(|_| {})]);
    let at = |now| Invitation::decide(&state, &wait(now).into());
    let early = Timestamp(OPENS.0 - 15 * 60 * 1_000_000);
    assert_eq!(at(Timestamp(early.0 - 1)), Err(InvitationRejection::InvitationTooEarly));
    assert_eq!(at(early), Ok(vec![InviteeCameToDesk { display_name: private(PERSON), device: None }.into()]));
    assert_eq!(at(CLOSES), Err(InvitationRejection::InvitationOver));
    let refused = |change: fn(&mut WaitAtDesk)| {
        let mut wait = wait(OPENS);
        change(&mut wait);
        Invitation::decide(&state, &wait.into()).unwrap_err()
    };
    assert_eq!(refused(|wait| wait.secret_sha256 = SecretHash([8; 32])), InvitationRejection::InvitationNotFound);
    assert_eq!(refused(|wait| wait.room_living = false), InvitationRejection::RoomNotLiving);
    let foreign = InvitationRejection::PrivateOfAnother { field: "device" };
    assert_eq!(refused(|wait| wait.device = Some(private(PersonId(9)))), foreign);
    let waiting = then(&state, wait(early), early);
    assert_eq!(Invitation::decide(&waiting, &wait(OPENS).into()), Ok(vec![]), "who waits already waits on");
    assert_eq!(waiting.waiting().map(|wait| (wait.since, wait.alerted_at)), Some((early, None)));
}

#[test]
fn a_wait_is_unanswered_then_times_out() {
    let created = given(&[creating(|_| {})]);
    assert_eq!(Invitation::decide(&created, &MarkWaitUnanswered { now: CLOSES }.into()), Ok(vec![]));
    assert_eq!(Invitation::decide(&created, &TimeOutWait { now: CLOSES }.into()), Ok(vec![]));
    let state = then(&created, wait(OPENS), OPENS);
    let (alerts, ends) = (state.wait_alerts_at().unwrap(), state.wait_times_out_at().unwrap());
    assert_eq!((alerts.seconds_since(OPENS), ends.seconds_since(OPENS)), (120, 900));
    let before = |at: Timestamp| Timestamp(at.0 - 1);
    let too_soon = Err(InvitationRejection::DeadlineNotReached);
    assert_eq!(Invitation::decide(&state, &MarkWaitUnanswered { now: before(alerts) }.into()), too_soon);
    let state = then(&state, MarkWaitUnanswered { now: alerts }, alerts);
    assert_eq!(state.waiting().unwrap().alerted_at, Some(alerts));
    assert_eq!(state.wait_alerts_at(), None, "once");
    assert_eq!(Invitation::decide(&state, &MarkWaitUnanswered { now: ends }.into()), Ok(vec![]));
    assert_eq!(Invitation::decide(&state, &TimeOutWait { now: before(ends) }.into()), too_soon);
    let state = then(&state, TimeOutWait { now: ends }, ends);
    assert_eq!((stands(&state), state.wait_times_out_at()), (Some(WaitState::TimedOut), None));
    let again = then(&state, wait(ends), ends);
    assert_eq!(again.waiting().map(|wait| (wait.since, wait.alerted_at)), Some((ends, None)));
    let late = before(CLOSES);
    let state = then(&created, wait(late), late);
    assert_eq!(state.wait_times_out_at(), Some(CLOSES), "no later than the invitation's own end");
}

#[test]
fn a_wait_ends_with_the_exchange_a_revocation_or_by_going_away() {
    let state = then(&given(&[creating(|_| {})]), wait(OPENS), OPENS);
    let leave = LeaveDesk { secret_sha256: SECRET };
    let wrong = LeaveDesk { secret_sha256: SecretHash([8; 32]) };
    assert_eq!(Invitation::decide(&state, &wrong.into()), Err(InvitationRejection::InvitationNotFound));
    for ending in [leave.clone().into(), exchange(SECRET, OPENS), RevokeInvitation {}.into()] {
        let ended = then(&state, ending, OPENS);
        assert_eq!((stands(&ended), ended.waiting()), (Some(WaitState::Left), None));
        assert_eq!(Invitation::decide(&ended, &leave.clone().into()), Ok(vec![]));
    }
}

#[test]
fn waits_use_an_invitation_up_too() {
    let mut state = given(&[creating(|_| {})]);
    for _ in 0..USES_MAX {
        state = then(&state, wait(OPENS), OPENS);
        state = then(&state, LeaveDesk { secret_sha256: SECRET }, OPENS);
    }
    assert_eq!(Invitation::decide(&state, &wait(OPENS).into()), Err(InvitationRejection::InvitationUsedUp));
    assert_eq!(Invitation::decide(&state, &exchange(SECRET, OPENS)), Err(InvitationRejection::InvitationUsedUp));
}

#[test]
fn golden_files() {
    let created = Invitation::decide(&InvitationState::Absent, &creating(|_| {})).unwrap().remove(0);
    crate::golden::check::<Invitation>(&[
        created,
        super::InvitationRevoked {}.into(),
        InvitationExchanged { token: TokenId(5) }.into(),
        InviteeCameToDesk { display_name: private(PERSON), device: Some(private(PERSON)) }.into(),
        InviteeLeftDesk {}.into(),
        WaitUnanswered {}.into(),
        WaitTimedOut {}.into(),
    ]);
}
