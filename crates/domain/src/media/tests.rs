use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::{
    SessionRole, golden,
    session::{ChangeParticipantRole, ChangeSessionSetting, MuteParticipant, scene::*},
    settings::SettingValue,
};

use super::*;

const NOW: Timestamp = Timestamp(0);
const ANNA: ParticipantId = ParticipantId(1);
const BEN: ParticipantId = ParticipantId(2);

fn standing() -> MediaStanding {
    in_as(SessionRole::Participant, false, &[])
}

fn in_as(role: SessionRole, held: bool, muted: &[MediaSource]) -> MediaStanding {
    let (who_may_publish, screen_share, interrupted) = (WhoMayPublish::Everyone, true, false);
    MediaStanding::In { role, held, muted: muted.iter().copied().collect(), who_may_publish, screen_share, interrupted }
}

fn publish(stream: u128, participant: ParticipantId, source: MediaSource) -> PublishStream {
    PublishStream {
        stream: StreamId(stream),
        participant,
        source,
        kind: source.kind(),
        codec: match source.kind() {
            StreamKind::Audio => "opus".into(),
            StreamKind::Video => "VP8".into(),
        },
        layers: 1,
        muted: false,
        standing: standing(),
        now: NOW,
    }
}

fn mute(stream: u128) -> MuteStream {
    MuteStream { stream: StreamId(stream), participant: ANNA, now: NOW }
}

fn unmute(stream: u128) -> UnmuteStream {
    UnmuteStream { stream: StreamId(stream), participant: ANNA, standing: standing(), now: NOW }
}

fn unpublish(stream: u128) -> UnpublishStream {
    UnpublishStream { stream: StreamId(stream), participant: ANNA, now: NOW }
}

fn enforce(participant: ParticipantId, standing: MediaStanding) -> EnforceStandings {
    EnforceStandings { standings: vec![(participant, standing)], now: NOW }
}

fn decide(state: &MediaState, command: impl Into<MediaCommand>) -> Decision {
    SessionMedia::decide(state, &command.into())
}

#[track_caller]
fn after(mut state: MediaState, command: impl Into<MediaCommand>) -> MediaState {
    let command = command.into();
    let events = SessionMedia::decide(&state, &command).unwrap_or_else(|no| panic!("{}: {no}", command.name()));
    for event in &events {
        state = SessionMedia::evolve(state, event, Timestamp(5));
    }
    state
}

/// Anna's microphone is stream 1, her camera stream 2.
fn anna_sends() -> MediaState {
    let state = after(MediaState::default(), publish(1, ANNA, MediaSource::Microphone));
    after(state, publish(2, ANNA, MediaSource::Camera))
}

fn ended(state: &MediaState, stream: u128) -> Option<UnpublishReason> {
    state.stream(StreamId(stream)).unwrap().unpublished.map(|ended| ended.reason)
}

#[test]
fn a_stream_is_published_once() {
    let state = anna_sends();
    assert_eq!(state.live().count(), 2);
    assert_eq!(decide(&state, publish(1, ANNA, MediaSource::Microphone)), NOTHING);
    let other = publish(1, BEN, MediaSource::Microphone);
    assert_eq!(decide(&state, other), Err(MediaRejection::StreamAlreadyExists));
    let second = publish(3, ANNA, MediaSource::Camera);
    assert_eq!(decide(&state, second), Err(MediaRejection::SourceAlreadyPublished));
    let state = after(state, unpublish(2));
    let state = after(state, publish(3, ANNA, MediaSource::Camera));
    assert_eq!(state.publishers(), BTreeSet::from([ANNA]));
    assert_eq!(decide(&state, publish(2, ANNA, MediaSource::Camera)), NOTHING, "a late retry begins nothing anew");
}

#[test]
fn who_may_not_publish_is_told_why() {
    let with = |standing, source| {
        decide(&MediaState::default(), PublishStream { standing, ..publish(1, ANNA, source) }).unwrap_err()
    };
    let camera = MediaSource::Camera;
    assert_eq!(with(MediaStanding::SessionNotLive, camera), MediaRejection::SessionNotLive);
    assert_eq!(with(MediaStanding::NotIn, camera), MediaRejection::ParticipantNotIn);
    assert_eq!(with(in_as(SessionRole::Participant, true, &[]), camera), MediaRejection::ParticipantOnHold);
    assert_eq!(with(in_as(SessionRole::Observer, false, &[]), camera), MediaRejection::RoleMayNotPublish);
    let hosts = |role| MediaStanding::In {
        role,
        held: false,
        muted: BTreeSet::new(),
        who_may_publish: WhoMayPublish::Hosts,
        screen_share: false,
        interrupted: true,
    };
    assert_eq!(with(hosts(SessionRole::Guardian), camera), MediaRejection::OnlyHostsPublish);
    assert_eq!(with(hosts(SessionRole::CoHost), MediaSource::Screen), MediaRejection::ScreenShareOff);
    assert_eq!(with(hosts(SessionRole::CoHost), MediaSource::ScreenAudio), MediaRejection::ScreenShareOff);
    assert_eq!(hosts(SessionRole::CoHost).allows(camera), Ok(()));
    assert_eq!(with(hosts(SessionRole::CoHost), camera), MediaRejection::SessionInterrupted);
}

#[test]
fn a_camera_gives_no_audio() {
    let none = MediaState::default();
    let wrong = PublishStream { kind: StreamKind::Audio, ..publish(1, ANNA, MediaSource::Camera) };
    assert_eq!(decide(&none, wrong), Err(MediaRejection::KindNotOfSource));
    for codec in ["", "VP8 x", &"v".repeat(CODEC_BYTES_MAX + 1)] {
        let wrong = PublishStream { codec: codec.into(), ..publish(1, ANNA, MediaSource::Camera) };
        assert_eq!(decide(&none, wrong), Err(MediaRejection::CodecInvalid), "{codec}");
    }
}

#[test]
fn a_participant_mutes_and_unmutes_their_own() {
    let state = after(anna_sends(), mute(1));
    assert_eq!(state.stream(StreamId(1)).unwrap().muted, Some(MutedBy::Participant));
    assert_eq!(decide(&state, mute(1)), NOTHING);
    assert_eq!(decide(&state, MuteStream { participant: BEN, ..mute(1) }), Err(MediaRejection::StreamNotFound));
    let held = UnmuteStream { standing: in_as(SessionRole::Participant, true, &[]), ..unmute(1) };
    assert_eq!(decide(&state, held), Err(MediaRejection::ParticipantOnHold));
    let state = after(state, unmute(1));
    assert_eq!(state.stream(StreamId(1)).unwrap().muted, None);
    assert_eq!(decide(&state, unmute(1)), NOTHING);
    let state = after(state, unpublish(1));
    assert_eq!(decide(&state, mute(1)), Err(MediaRejection::StreamNotFound), "it is over");
}

#[test]
fn what_a_host_has_muted_only_a_host_frees() {
    let muted = in_as(SessionRole::Participant, false, &[MediaSource::Microphone]);
    let state = after(anna_sends(), mute(1));
    let state = after(state, enforce(ANNA, muted.clone()));
    assert_eq!(state.stream(StreamId(1)).unwrap().muted, Some(MutedBy::Host));
    assert_eq!(state.stream(StreamId(2)).unwrap().muted, None, "the camera goes on");
    assert_eq!(decide(&state, enforce(ANNA, muted.clone())), NOTHING);
    let refused = UnmuteStream { standing: muted.clone(), ..unmute(1) };
    assert_eq!(decide(&state, refused), Err(MediaRejection::MutedByHost));
    // Once it is lifted, the participant unmutes themselves; nobody is heard without their doing.
    assert_eq!(decide(&state, enforce(ANNA, standing())), NOTHING);
    assert_eq!(after(state.clone(), unmute(1)).stream(StreamId(1)).unwrap().muted, None);
    // Published anew, it is muted from the first moment.
    let state = after(state, unpublish(1));
    let anew = PublishStream { standing: muted, ..publish(3, ANNA, MediaSource::Microphone) };
    assert_eq!(after(state, anew).stream(StreamId(3)).unwrap().muted, Some(MutedBy::Host));
}

#[test]
fn who_is_gone_or_may_no_longer_publishes_nothing() {
    for (standing, reason) in [
        (MediaStanding::NotIn, UnpublishReason::ParticipantGone),
        (MediaStanding::SessionNotLive, UnpublishReason::SessionEnded),
        (in_as(SessionRole::Observer, false, &[]), UnpublishReason::NotAllowed),
    ] {
        let state = after(anna_sends(), publish(3, BEN, MediaSource::Camera));
        let state = after(state, enforce(ANNA, standing.clone()));
        assert_eq!((ended(&state, 1), ended(&state, 2), ended(&state, 3)), (Some(reason), Some(reason), None));
        assert_eq!(decide(&state, enforce(ANNA, standing)), NOTHING);
    }
    assert_eq!(decide(&anna_sends(), enforce(ANNA, in_as(SessionRole::Participant, true, &[]))), NOTHING, "on hold");
}

#[test]
fn streams_end_with_what_carried_them() {
    let end = |which, reason| EndStreams { which, reason, now: NOW };
    let state = after(anna_sends(), publish(3, BEN, MediaSource::Camera));
    let one = after(state.clone(), end(Which::One(StreamId(2)), UnpublishReason::ConnectionLost));
    assert_eq!((ended(&one, 1), ended(&one, 2)), (None, Some(UnpublishReason::ConnectionLost)));
    let anew = after(state.clone(), end(Which::OfParticipant(ANNA), UnpublishReason::EnteredAnew));
    assert_eq!((ended(&anew, 2), ended(&anew, 3)), (Some(UnpublishReason::EnteredAnew), None));
    let until = |time| end(Which::PublishedUntil(Timestamp(time)), UnpublishReason::NodeLost);
    assert_eq!(decide(&state, until(4)), NOTHING, "what came later is carried by the next node");
    let lost = after(state, until(5));
    assert_eq!(lost.live().count(), 0);
    assert_eq!(decide(&lost, until(6)), NOTHING);
    assert_eq!(decide(&lost, unpublish(1)), NOTHING);
    assert_eq!(decide(&lost, unpublish(9)), Err(MediaRejection::StreamNotFound));
}

#[test]
fn the_stream_of_events_stays_short() {
    let mut state = after(MediaState::default(), publish(1, ANNA, MediaSource::Microphone));
    state.streams[0].unmutes_count = UNMUTES_OF_STREAM_MAX;
    state = after(state, mute(1));
    assert_eq!(decide(&state, unmute(1)), Err(MediaRejection::UnmutedTooOften));
    state.streams[0].unpublished = Some(Unpublished { at: NOW, reason: UnpublishReason::ByParticipant });
    let one = state.streams[0].clone();
    let old = |n: usize, participant| MediaStream { stream: StreamId(1_000 + n as u128), participant, ..one.clone() };
    state.streams = (0..STREAMS_OF_PARTICIPANT_MAX).map(|n| old(n, ANNA)).collect();
    let next = publish(2, ANNA, MediaSource::Camera);
    assert_eq!(decide(&state, next.clone()), Err(MediaRejection::ParticipantStreamsFull));
    state.streams = (0..STREAMS_MAX).map(|n| old(n, ParticipantId(10 + n as u128))).collect();
    assert_eq!(decide(&state, next), Err(MediaRejection::StreamsFull));
}

#[test]
fn speech_adds_up_and_is_counted_once() {
    let measure = |number, milliseconds| MeasureSpeech {
        measure: Measure { run: "00000000000000a1".into(), number },
        speech: vec![Spoken { participant: ANNA, milliseconds }, Spoken { participant: BEN, milliseconds: 0 }],
        now: NOW,
    };
    let state = after(after(MediaState::default(), measure(3, 1_500)), measure(7, 500));
    assert_eq!(state.speech, BTreeMap::from([(ANNA, 2_000)]));
    for again in [3, 7] {
        assert_eq!(decide(&state, measure(again, 900)), NOTHING, "{again}");
    }
    assert_eq!(decide(&state, measure(8, 0)), NOTHING, "nobody spoke");
    let other = MeasureSpeech { measure: Measure { run: "00000000000000b2".into(), number: 1 }, ..measure(1, 100) };
    assert_eq!(after(state, other).speech[&ANNA], 2_100, "another run of a node counts anew");
}

#[test]
fn the_standing_is_what_the_session_says() {
    let mut scene = Scene::ready(&[SettingValue::Lobby(true), SettingValue::ScreenShare(false)]);
    let of = |scene: &Scene, n| scene.state.media_standing(ParticipantId(n));
    scene.knocks(1, PATIENT);
    assert_eq!(of(&scene, 1), MediaStanding::NotIn);
    scene.joins(2, SISTER, SessionRole::Participant);
    assert_eq!(of(&scene, 2).allows(MediaSource::Screen), Err(MediaRejection::ScreenShareOff));
    assert_eq!(of(&scene, 2).allows(MediaSource::Camera), Ok(()));
    scene.does(MuteParticipant { participant: BEN, source: MediaSource::Camera, now: NOW });
    assert!(of(&scene, 2).mutes(MediaSource::Camera) && !of(&scene, 2).mutes(MediaSource::Microphone));
    scene.does(ChangeSessionSetting { value: SettingValue::WhoMayPublish(WhoMayPublish::Hosts), now: NOW });
    assert_eq!(of(&scene, 2).allows(MediaSource::Camera), Err(MediaRejection::OnlyHostsPublish));
    scene.does(ChangeParticipantRole { participant: BEN, role: SessionRole::CoHost, now: NOW });
    assert_eq!(of(&scene, 2).allows(MediaSource::Camera), Ok(()));
    scene.does(scene.end());
    assert_eq!(of(&scene, 2), MediaStanding::SessionNotLive);
}

#[test]
fn golden_files() {
    let stream = StreamId(3);
    let (source, kind, codec) = (MediaSource::Camera, StreamKind::Video, "VP8".to_owned());
    let published = StreamPublished { stream, participant: ANNA, source, kind, codec, layers: 3, muted: false };
    let unpublished = StreamUnpublished { stream, reason: UnpublishReason::ParticipantGone };
    let measure = Measure { run: "0123456789abcdef".into(), number: 7 };
    let measured = SpeechMeasured { measure, speech: vec![Spoken { participant: ANNA, milliseconds: 12_340 }] };
    golden::check::<SessionMedia>(&[
        measured.into(),
        published.into(),
        StreamMuted { stream, by: MutedBy::Host }.into(),
        StreamUnmuted { stream }.into(),
        unpublished.into(),
    ]);
}

fn any_standing() -> impl Strategy<Value = MediaStanding> {
    let role = prop::sample::select(&SessionRole::ALL[..]);
    let muted = prop::collection::btree_set(prop::sample::select(&MediaSource::ALL[..]), 0..2);
    let who = prop_oneof![4 => Just(WhoMayPublish::Everyone), 1 => Just(WhoMayPublish::Hosts)];
    let (rarely, often) = (prop::bool::weighted(0.1), prop::bool::weighted(0.8));
    let inside = (role, rarely, muted, who, often, rarely).prop_map(
        |(role, held, muted, who_may_publish, screen_share, interrupted)| MediaStanding::In {
            role,
            held,
            muted,
            who_may_publish,
            screen_share,
            interrupted,
        },
    );
    prop_oneof![20 => inside, 1 => Just(MediaStanding::NotIn), 1 => Just(MediaStanding::SessionNotLive)]
}

fn any_command() -> impl Strategy<Value = MediaCommand> {
    let stream = || (1..12_u128).prop_map(StreamId);
    let participant = || (1..4_u128).prop_map(ParticipantId);
    let source = prop::sample::select(&MediaSource::ALL[..]);
    let which = prop_oneof![
        1 => (0..9_u64).prop_map(|at| Which::PublishedUntil(Timestamp(at))),
        4 => participant().prop_map(Which::OfParticipant),
        4 => stream().prop_map(Which::One)
    ];
    prop_oneof![
        6 => (stream(), participant(), source, any::<bool>(), any_standing()).prop_map(
            |(stream, participant, source, muted, standing)| {
                PublishStream { muted, standing, ..publish(stream.0, participant, source) }.into()
            }
        ),
        3 => (stream(), participant())
            .prop_map(|(stream, participant)| MuteStream { stream, participant, now: NOW }.into()),
        3 => (stream(), participant(), any_standing()).prop_map(|(stream, participant, standing)| {
            UnmuteStream { stream, participant, standing, now: NOW }.into()
        }),
        2 => (stream(), participant())
            .prop_map(|(stream, participant)| UnpublishStream { stream, participant, now: NOW }.into()),
        1 => (which, prop::sample::select(&UnpublishReason::ALL[..]))
            .prop_map(|(which, reason)| EndStreams { which, reason, now: NOW }.into()),
        3 => prop::collection::vec((participant(), any_standing()), 0..3)
            .prop_map(|standings| EnforceStandings { standings, now: NOW }.into()),
    ]
}

proptest! {
    /// Whatever is asked, in whichever order: one source of one participant is published once at a time, what has ended
    /// stays so, and a command again adds nothing.
    #[test]
    fn whatever_is_asked(commands in prop::collection::vec(any_command(), 0..80)) {
        let mut state = MediaState::default();
        for command in &commands {
            let before = state.clone();
            let Ok(events) = SessionMedia::decide(&state, command) else { continue };
            for event in &events {
                state = SessionMedia::evolve(state, event, Timestamp(5));
            }
            prop_assert_eq!(SessionMedia::decide(&state, command), NOTHING, "{:?}", command);
            let live: Vec<_> = state.live().map(|stream| (stream.participant, stream.source)).collect();
            prop_assert_eq!(live.iter().collect::<BTreeSet<_>>().len(), live.len());
            for (old, new) in before.streams.iter().zip(&state.streams) {
                prop_assert_eq!(old.stream, new.stream);
                prop_assert!(old.is_live() || old == new, "what has ended stays as it was");
            }
            if let MediaCommand::EnforceStandings(command) = command {
                for stream in state.live() {
                    let found = command.standings.iter().find(|(participant, _)| *participant == stream.participant);
                    let Some((_, standing)) = found else { continue };
                    prop_assert!(standing.allows(stream.source).is_ok());
                    prop_assert!(!standing.mutes(stream.source) || stream.muted == Some(MutedBy::Host));
                }
            }
        }
    }
}
