//! What is told to one participant as it happens. Nothing of it is recorded.

use serde_json::Value;
use witan_domain::{OfferId, ParticipantId, StreamId, participant::MediaSource};

#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// A stream can be had; it begins to flow once it is acknowledged.
    Offered {
        offer: OfferId,
        stream: StreamId,
        participant: ParticipantId,
        source: MediaSource,
        rtp_parameters: Value,
        /// Whether its sender has stopped it.
        paused: bool,
    },
    /// Its sender, or a host, stopped it.
    OfferPaused {
        offer: OfferId,
    },
    OfferResumed {
        offer: OfferId,
    },
    /// The stream has ended for this participant.
    OfferClosed {
        offer: OfferId,
    },
    /// Who speaks now; nobody does where it is `None`.
    ActiveSpeaker {
        participant: Option<ParticipantId>,
    },
    /// The loudest, loudest first; who is not named is silent.
    Levels {
        levels: Vec<Level>,
    },
    /// How well an offer arrives: 0 (nothing does) to 10.
    Score {
        offer: OfferId,
        score: u8,
    },
    /// What flows now of an offer that has layers; `None`: nothing.
    Layers {
        offer: OfferId,
        spatial: Option<u8>,
        temporal: Option<u8>,
    },
    /// What the participant had is lost: they must enter anew.
    Restarted,
}

/// How loud a participant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub participant: ParticipantId,
    /// Decibels under the loudest that there is: -127 (silence) to 0.
    pub dbov: i8,
}
