//! Who waits at a desk, and which rooms no list shows.

use witan_domain::{
    InvitationId, ParticipantId, RoomId,
    invitation::{CreateInvitation, ExchangeInvitation, Invitation, LeaveDesk, RevokeInvitation, WaitAtDesk},
    room::{ArchiveRoom, CreateRoom, OpenAdHocSession, OpenSession, ReleaseSession, Room, ad_hoc_slug},
    session::{AdmitParticipant, EndReason, EndSession, Knock, MarkKnockUnanswered, MarkSessionReady, Session},
    text::SecretHash,
};

use super::*;
use crate::desk::{Waiting, WaitsBy};

const ABOVE: UnitId = UnitId(20);
const EARLIER: SessionId = SessionId(900);
const INVITED: InvitationId = InvitationId(600);
const SECRET: SecretHash = SecretHash([5; 32]);

/// A clinic in whose unit one knocks at a session, and one waits for a session.
async fn waited_at() -> Log {
    let mut log = clinic().await;
    // Whoever the dice have left knocking there waits no more.
    let end = EndSession { reason: EndReason::EndedByHost, now: log.now };
    log.does::<Session>(CLINIC, SESSION, end).await;
    log.does::<Session>(CLINIC, EARLIER, prepare(EARLIER, CLINIC, &[])).await;
    log.does::<Session>(CLINIC, EARLIER, MarkSessionReady { now: log.now }).await;
    let arrival = arrival(7, PATIENT, SessionRole::Participant);
    log.does::<Session>(CLINIC, EARLIER, Knock { arrival, lobby: true, now: log.now }).await;
    let mut create = CreateInvitation { invitation: INVITED, secret_sha256: SECRET, ..create_invitation() };
    (create.details.not_before, create.details.not_after) = (log.now, log.now.plus_seconds(86_400));
    log.does::<Invitation>(CLINIC, INVITED, create).await;
    let (display_name, device, now) = (private(PATIENT, "Pat"), None, log.now);
    let wait = WaitAtDesk { secret_sha256: SECRET, room_living: true, display_name, device, now };
    log.does::<Invitation>(CLINIC, INVITED, wait).await;
    log
}

fn waiting(log: &Log) -> Vec<Waiting> {
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), log);
    let at = |unit| models.waiting_desk(CLINIC, unit, 10).unwrap();
    assert_eq!(at(CARDIOLOGY), at(ABOVE), "who sees a unit sees those below it");
    assert!(at(UnitId(22)).waiting.is_empty(), "another unit");
    assert!(models.waiting_desk(COURT, CARDIOLOGY, 10).unwrap().waiting.is_empty(), "another tenant");
    at(CARDIOLOGY).waiting
}

#[tokio::test]
async fn who_waits_is_at_the_desk_until_they_are_answered() {
    let mut log = waited_at().await;
    let seen = waiting(&log);
    let by: Vec<_> = seen.iter().map(|one| one.by).collect();
    assert_eq!(by, [WaitsBy::Knock(EARLIER, ParticipantId(7)), WaitsBy::Invitation(INVITED)], "the longest first");
    assert_eq!((seen[0].session, seen[0].invitation), (Some(EARLIER), Some(INVITATION)));
    assert_eq!((seen[1].room, seen[1].unit), (ROOM, CARDIOLOGY));
    assert!(seen.iter().all(|one| one.alerted_at.is_none() && one.display_name.person == PATIENT));
    let folder = TempDir::new().unwrap();
    let one = folded(folder.path(), &log).waiting_desk(CLINIC, CARDIOLOGY, 1).unwrap();
    assert_eq!((one.waiting.len(), one.more), (1, true));

    let now = log.now.plus_seconds(1_000);
    log.does::<Session>(CLINIC, EARLIER, MarkKnockUnanswered { participant: ParticipantId(7), now }).await;
    assert_eq!(waiting(&log)[0].alerted_at, Some(log.now), "it waits on");
    log.does::<Session>(CLINIC, EARLIER, AdmitParticipant { participant: ParticipantId(7), now }).await;
    let by: Vec<_> = waiting(&log).iter().map(|one| one.by).collect();
    assert_eq!(by, [WaitsBy::Invitation(INVITED)]);
    log.does::<Invitation>(CLINIC, INVITED, LeaveDesk { secret_sha256: SECRET }).await;
    assert_eq!(waiting(&log), []);
}

#[tokio::test]
async fn a_wait_is_over_with_the_exchange_or_the_invitation() {
    for exchanged in [true, false] {
        let mut log = waited_at().await;
        let exchange = ExchangeInvitation { secret_sha256: SECRET, token: witan_domain::TokenId(9), now: log.now };
        match exchanged {
            true => log.does::<Invitation>(CLINIC, INVITED, exchange).await,
            false => log.does::<Invitation>(CLINIC, INVITED, RevokeInvitation {}).await,
        }
        assert_eq!(waiting(&log).len(), 1, "only the knock is left");
    }
}

#[tokio::test]
async fn a_hidden_room_is_in_no_list_and_in_the_way_of_its_unit() {
    let mut log = clinic().await;
    log.does::<Room>(CLINIC, ROOM, ReleaseSession { session: SESSION }).await;
    log.does::<Room>(CLINIC, ROOM, ArchiveRoom {}).await;
    let hidden = RoomId(32);
    let mut create = CreateRoom { room: hidden, ..create_room() };
    create.details.slug = ad_hoc_slug(hidden);
    let open = OpenSession { session: EARLIER, ..open_session() };
    log.does::<Room>(CLINIC, hidden, OpenAdHocSession { create: Box::new(create), open: Box::new(open) }).await;
    let folder = TempDir::new().unwrap();
    let look = |log: &Log| {
        let models = folded(folder.path(), log);
        let page = Page { rows_max: 10, ..Page::default() };
        for unit in [None, Some(CARDIOLOGY)] {
            let listed = models.list_rooms(CLINIC, unit, &page).unwrap();
            let rooms: Vec<_> = listed.rows.iter().map(|(_, row)| row.state.facts().unwrap().room).collect();
            assert_eq!(rooms, [ROOM]);
        }
        assert!(models.find_room(CLINIC, hidden).unwrap().is_some(), "by its id it is found");
        models.has_living_rooms(CLINIC, CARDIOLOGY).unwrap()
    };
    assert!(look(&log));
    log.does::<Room>(CLINIC, hidden, ReleaseSession { session: EARLIER }).await;
    assert!(!look(&log));
}
