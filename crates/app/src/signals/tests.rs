use serde_json::json;
use witan_domain::{StreamId, participant::MediaSource};
use witan_media::Level;

use super::*;

const ONE: OfferId = OfferId(1);
const TWO: OfferId = OfferId(2);

fn offered(offer: OfferId, paused: bool) -> Signal {
    let (stream, participant, source) = (StreamId(offer.0), ParticipantId(7), MediaSource::Camera);
    Signal::Offered { offer, stream, participant, source, rtp_parameters: json!({}), paused }
}

fn speaks(participant: u128) -> Signal {
    Signal::ActiveSpeaker { participant: Some(ParticipantId(participant)) }
}

fn all(signals: impl IntoIterator<Item = Signal>) -> Vec<Signal> {
    let mut mail = Mail::default();
    signals.into_iter().for_each(|signal| mail.put(signal));
    std::iter::from_fn(|| mail.take()).map(Result::unwrap).collect()
}

#[test]
fn of_what_is_said_again_the_newest_is_told() {
    let levels = |dbov| Signal::Levels { levels: vec![Level { participant: ParticipantId(7), dbov }] };
    let score = |offer, score| Signal::Score { offer, score };
    let layers = |spatial| Signal::Layers { offer: ONE, spatial, temporal: None };
    let told = all([speaks(1), levels(-10), score(ONE, 3), speaks(2), layers(None), layers(Some(1)), levels(-20)]);
    assert_eq!(told, [speaks(2), levels(-20), layers(Some(1)), score(ONE, 3)]);
    assert_eq!(all([score(TWO, 1), score(ONE, 2), score(TWO, 9)]), [score(ONE, 2), score(TWO, 9)]);
}

#[test]
fn an_offer_is_told_as_it_is_when_it_is_read() {
    let (paused, resumed) = (Signal::OfferPaused { offer: ONE }, Signal::OfferResumed { offer: ONE });
    assert_eq!(all([offered(ONE, false), paused.clone()]), [offered(ONE, true)]);
    assert_eq!(all([offered(TWO, false), paused.clone(), resumed.clone()]), [offered(TWO, false), resumed]);
    let closed = Signal::OfferClosed { offer: ONE };
    assert_eq!(all([offered(ONE, false), offered(TWO, true), closed.clone()]), [offered(TWO, true)], "never there");
    let score = Signal::Score { offer: ONE, score: 3 };
    assert_eq!(all([paused, score, closed.clone()]), [closed], "it was read before");
}

#[test]
fn a_restart_voids_what_came_before() {
    assert_eq!(all([offered(ONE, false), speaks(1), Signal::Restarted, speaks(2)]), [Signal::Restarted, speaks(2)]);
}

#[test]
fn a_reader_who_reads_nothing_is_let_go() {
    let mut mail = Mail::default();
    for offer in 0..=WAITING_MAX as u128 {
        mail.put(offered(OfferId(offer), false));
    }
    assert_eq!(mail.take().unwrap().unwrap_err().code(), "TOO_SLOW");
    assert!(mail.take().is_none() && mail.ordered.is_empty());
}

#[test]
fn what_is_not_for_all_is_left_out() {
    let mut data = json!({
        "arrival": { "display_name": { "value": "Anna" }, "device": {}, "external_id": null, "token": "token_1" },
        "reason": { "person": "person_1", "value": "was rude" },
    });
    hide(&mut data);
    assert_eq!(data, json!({ "arrival": { "display_name": { "value": "Anna" } } }));
    let mut left = json!({ "participant": "participant_1", "reason": "taken_over" });
    hide(&mut left);
    assert_eq!(left["reason"], "taken_over");
}

#[tokio::test]
async fn whoever_goes_leaves_nothing_behind() {
    let entrances = Entrances::default();
    let mut first = entrances.listen(SessionId(1), ParticipantId(2));
    drop(entrances.listen(SessionId(1), ParticipantId(2)));
    entrances.tell(SessionId(1), ParticipantId(3));
    assert!(!first.receiver.has_changed().unwrap());
    entrances.tell(SessionId(1), ParticipantId(2));
    first.receiver.changed().await.unwrap();
    drop(first);
    assert!(locked(&entrances.places).is_empty());
}
