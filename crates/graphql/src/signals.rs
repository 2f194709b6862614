//! What one participant is told while they are in a session, by `sessionSignals`.

use std::sync::Arc;

use async_graphql::{Enum, ID, SimpleObject, Union};
use futures_util::{Stream, stream};
use witan_app::{App, signals::SessionSignals};
use witan_media::{Level, Signal};

use crate::{
    call::shown,
    history::Event,
    media::StreamKind,
    participant::MediaSource,
    response::Subscriber,
    scalars::{IntoId, Json, Position},
};

/// Something that a participant is told: an event that is recorded, or what a media node says to them alone. Of the latter only
/// the newest counts, so a client that reads slowly gets fewer.
#[derive(Union)]
pub enum SessionSignal {
    /// Something was recorded.
    Event(Box<EventSignal>),
    /// A stream can be had.
    Offered(StreamOffered),
    /// What was offered has stopped.
    Paused(OfferPaused),
    /// What was offered goes on.
    Resumed(OfferResumed),
    /// What was offered has ended.
    Closed(OfferClosed),
    /// Somebody else speaks.
    Speaker(ActiveSpeaker),
    /// How loud people are.
    Levels(AudioLevels),
    /// How well an offer arrives.
    Score(OfferScore),
    /// What flows of an offer.
    Layers(OfferLayers),
    /// The client has to enter anew.
    Restarted(MediaRestarted),
}

/// An event of the session or its media, as everyone in it may see it: what hosts wrote about people, their devices and
/// external ids are left out.
#[derive(SimpleObject)]
pub struct EventSignal {
    /// Where it stands in the log: subscribe again after it.
    position: Position,
    /// The event.
    event: Event,
}

/// A stream that the client can have: give it to mediasoup-client's `consume`, then say `acknowledgeOffer`.
#[derive(SimpleObject)]
pub struct StreamOffered {
    /// The offer's id: mediasoup-client's `id`. Another for each client, and for each time.
    offer_id: ID,
    /// The stream: mediasoup-client's `producerId`.
    stream_id: ID,
    /// Who sends it.
    participant_id: ID,
    /// Where it comes from.
    source: MediaSource,
    /// What it carries.
    kind: StreamKind,
    /// For `consume`.
    rtp_parameters: Json,
    /// Whether it has stopped for now.
    paused: bool,
}

/// Nothing comes of an offer: its sender or a host has muted it, or one of the two is on hold.
#[derive(SimpleObject)]
pub struct OfferPaused {
    /// The offer.
    offer_id: ID,
}

/// An offer goes on.
#[derive(SimpleObject)]
pub struct OfferResumed {
    /// The offer.
    offer_id: ID,
}

/// An offer has ended: close its consumer.
#[derive(SimpleObject)]
pub struct OfferClosed {
    /// The offer.
    offer_id: ID,
}

/// Who speaks now.
#[derive(SimpleObject)]
pub struct ActiveSpeaker {
    /// The participant; null when nobody does.
    participant_id: Option<ID>,
}

/// How loud the loudest are; who is not named is silent.
#[derive(SimpleObject)]
pub struct AudioLevels {
    /// The loudest first.
    levels: Vec<AudioLevel>,
}

/// How loud a participant is.
#[derive(SimpleObject)]
pub struct AudioLevel {
    /// The participant.
    participant_id: ID,
    /// Decibels under the loudest that there is: -127 (silence) to 0.
    dbov: i32,
}

/// How well an offer arrives.
#[derive(SimpleObject)]
pub struct OfferScore {
    /// The offer.
    offer_id: ID,
    /// 0 (nothing does) to 10 (all of it does).
    score: i32,
}

/// What flows of an offer that has layers.
#[derive(SimpleObject)]
pub struct OfferLayers {
    /// The offer.
    offer_id: ID,
    /// The size of the picture, from 0; null when none flows.
    spatial_layer: Option<i32>,
    /// How many pictures in a second, from 0; null when none flows.
    temporal_layer: Option<i32>,
}

/// What the client had is gone, or it had nothing yet: it has to say `enterMedia`, and publish anew.
#[derive(SimpleObject)]
pub struct MediaRestarted {
    /// Why.
    reason: MediaRestartReason,
}

/// Why a client has to enter the media anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum MediaRestartReason {
    /// No media node has transports of this participant: it was lost, or they have not entered.
    NotEntered,
}

impl From<witan_app::signals::SessionSignal> for SessionSignal {
    fn from(signal: witan_app::signals::SessionSignal) -> Self {
        match signal {
            witan_app::signals::SessionSignal::Event(event) => {
                let position = Position(event.position.0);
                Self::Event(Box::new(EventSignal { position, event: Event::from(*event) }))
            }
            witan_app::signals::SessionSignal::Media(signal) => Self::from(signal),
        }
    }
}

impl From<Signal> for SessionSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Offered { offer, stream, participant, source, rtp_parameters, paused } => {
                Self::Offered(StreamOffered {
                    offer_id: offer.into_id(),
                    stream_id: stream.into_id(),
                    participant_id: participant.into_id(),
                    source: source.into(),
                    kind: source.kind().into(),
                    rtp_parameters: Json(rtp_parameters),
                    paused,
                })
            }
            Signal::OfferPaused { offer } => Self::Paused(OfferPaused { offer_id: offer.into_id() }),
            Signal::OfferResumed { offer } => Self::Resumed(OfferResumed { offer_id: offer.into_id() }),
            Signal::OfferClosed { offer } => Self::Closed(OfferClosed { offer_id: offer.into_id() }),
            Signal::ActiveSpeaker { participant } => {
                Self::Speaker(ActiveSpeaker { participant_id: participant.map(IntoId::into_id) })
            }
            Signal::Levels { levels } => Self::Levels(AudioLevels { levels: levels.into_iter().map(level).collect() }),
            Signal::Score { offer, score } => {
                Self::Score(OfferScore { offer_id: offer.into_id(), score: score.into() })
            }
            Signal::Layers { offer, spatial, temporal } => Self::Layers(OfferLayers {
                offer_id: offer.into_id(),
                spatial_layer: spatial.map(Into::into),
                temporal_layer: temporal.map(Into::into),
            }),
            Signal::Restarted => Self::Restarted(MediaRestarted { reason: MediaRestartReason::NotEntered }),
        }
    }
}

fn level(Level { participant, dbov }: Level) -> AudioLevel {
    AudioLevel { participant_id: participant.into_id(), dbov: dbov.into() }
}

/// A participant's signals as a subscription: it pulls, and ends with the session.
pub fn signals(
    app: Arc<App>,
    signals: SessionSignals,
    subscriber: Subscriber,
) -> impl Stream<Item = async_graphql::Result<SessionSignal>> {
    subscriber.begins_after(signals.position().0.to_string());
    stream::unfold((app, signals, subscriber, false), |(app, mut signals, subscriber, failed)| async move {
        if failed {
            return None;
        }
        let next = signals.next(&app).await.transpose()?;
        let failed = next.is_err();
        subscriber.reached(signals.position().0.to_string());
        Some((next.map(SessionSignal::from).map_err(shown), (app, signals, subscriber, failed)))
    })
}
