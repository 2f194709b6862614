//! The port's values as messages, and back. What doesn't convert was said by a program of another version, or by a client
//! through it: that is [`MediaError::Invalid`].

use std::{fmt::Display, str::FromStr};

use serde_json::Value;
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId, Timestamp};
use witan_media::{
    Entrance, IceServer, Level, MediaError, MediaSource, Observation, ObservationId, Observed, Publication, Published,
    Signal, Standing, StreamEnd, TransportParameters,
};

use crate::wire;

pub fn invalid(field: &'static str, error: impl Display) -> MediaError {
    MediaError::Invalid { field, message: error.to_string() }
}

fn missing(field: &'static str) -> MediaError {
    invalid(field, "is missing")
}

fn id<T: FromStr<Err: Display>>(field: &'static str, text: &str) -> Result<T, MediaError> {
    text.parse().map_err(|error| invalid(field, error))
}

pub fn session_of(text: &str) -> Result<SessionId, MediaError> {
    id("session", text)
}

pub fn stream_of(text: &str) -> Result<StreamId, MediaError> {
    id("stream", text)
}

pub fn offer_of(text: &str) -> Result<OfferId, MediaError> {
    id("offer", text)
}

pub fn participant_of(text: &str) -> Result<ParticipantId, MediaError> {
    id("participant", text)
}

pub fn json_of(field: &'static str, text: &str) -> Result<Value, MediaError> {
    serde_json::from_str(text).map_err(|error| invalid(field, error))
}

pub fn session(session: SessionId) -> wire::Session {
    wire::Session { session: session.to_string() }
}

pub fn who(session: SessionId, participant: ParticipantId) -> wire::Participant {
    wire::Participant { session: session.to_string(), participant: participant.to_string() }
}

pub fn who_of(who: Option<&wire::Participant>) -> Result<(SessionId, ParticipantId), MediaError> {
    let who = who.ok_or_else(|| missing("participant"))?;
    Ok((session_of(&who.session)?, participant_of(&who.participant)?))
}

pub fn source(source: MediaSource) -> i32 {
    match source {
        MediaSource::Microphone => wire::Source::Microphone,
        MediaSource::Camera => wire::Source::Camera,
        MediaSource::Screen => wire::Source::Screen,
        MediaSource::ScreenAudio => wire::Source::ScreenAudio,
    }
    .into()
}

pub fn source_of(source: i32) -> Result<MediaSource, MediaError> {
    match wire::Source::try_from(source) {
        Ok(wire::Source::Microphone) => Ok(MediaSource::Microphone),
        Ok(wire::Source::Camera) => Ok(MediaSource::Camera),
        Ok(wire::Source::Screen) => Ok(MediaSource::Screen),
        Ok(wire::Source::ScreenAudio) => Ok(MediaSource::ScreenAudio),
        Ok(wire::Source::Unspecified) | Err(_) => Err(invalid("source", format!("there is no source {source}"))),
    }
}

pub fn entering(session: SessionId, participant: ParticipantId, standing: &Standing) -> wire::Entering {
    wire::Entering {
        who: Some(who(session, participant)),
        held: standing.held,
        muted: standing.muted.iter().map(|muted| source(*muted)).collect(),
    }
}

pub fn standing_of(entering: &wire::Entering) -> Result<Standing, MediaError> {
    let muted = entering.muted.iter().map(|muted| source_of(*muted)).collect::<Result<_, _>>()?;
    Ok(Standing { held: entering.held, muted })
}

pub fn entrance(entrance: &Entrance) -> wire::Entrance {
    let ice_servers = entrance.ice_servers.iter().map(|server| wire::IceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.clone(),
    });
    wire::Entrance {
        router_rtp_capabilities_json: entrance.router_rtp_capabilities.to_string(),
        send: Some(transport(&entrance.send)),
        receive: Some(transport(&entrance.receive)),
        ice_servers: ice_servers.collect(),
    }
}

fn transport(parameters: &TransportParameters) -> wire::TransportParameters {
    wire::TransportParameters {
        id: parameters.id.clone(),
        ice_parameters_json: parameters.ice_parameters.to_string(),
        ice_candidates_json: parameters.ice_candidates.to_string(),
        dtls_parameters_json: parameters.dtls_parameters.to_string(),
        sctp_parameters_json: parameters.sctp_parameters.as_ref().map(Value::to_string),
    }
}

pub fn entrance_of(entrance: wire::Entrance) -> Result<Entrance, MediaError> {
    let ice_servers = entrance.ice_servers.into_iter().map(|server| IceServer {
        urls: server.urls,
        username: server.username,
        credential: server.credential,
    });
    Ok(Entrance {
        router_rtp_capabilities: json_of("rtpCapabilities", &entrance.router_rtp_capabilities_json)?,
        send: transport_of(entrance.send)?,
        receive: transport_of(entrance.receive)?,
        ice_servers: ice_servers.collect(),
    })
}

fn transport_of(parameters: Option<wire::TransportParameters>) -> Result<TransportParameters, MediaError> {
    let parameters = parameters.ok_or_else(|| missing("transport"))?;
    let json = |text: &str| json_of("transport", text);
    Ok(TransportParameters {
        ice_parameters: json(&parameters.ice_parameters_json)?,
        ice_candidates: json(&parameters.ice_candidates_json)?,
        dtls_parameters: json(&parameters.dtls_parameters_json)?,
        sctp_parameters: parameters.sctp_parameters_json.as_deref().map(json).transpose()?,
        id: parameters.id,
    })
}

pub fn publication(session: SessionId, participant: ParticipantId, publication: &Publication) -> wire::Publication {
    wire::Publication {
        who: Some(who(session, participant)),
        stream: publication.stream.to_string(),
        source: source(publication.source),
        rtp_parameters_json: publication.rtp_parameters.to_string(),
        paused: publication.paused,
    }
}

pub fn publication_of(publication: &wire::Publication) -> Result<Publication, MediaError> {
    Ok(Publication {
        stream: stream_of(&publication.stream)?,
        source: source_of(publication.source)?,
        rtp_parameters: json_of("rtpParameters", &publication.rtp_parameters_json)?,
        paused: publication.paused,
    })
}

pub fn published(published: &Published) -> wire::Published {
    wire::Published { codec: published.codec.clone(), layers: published.layers.into() }
}

pub fn published_of(published: wire::Published) -> Published {
    Published { codec: published.codec, layers: small(published.layers) }
}

/// A layer or a score: far below 256, and cut there.
fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

pub fn signal(signal: Signal) -> wire::Signal {
    use wire::signal::What;
    let what = match signal {
        Signal::Offered { offer, stream, participant, source: from, rtp_parameters, paused } => {
            What::Offered(wire::Offered {
                offer: offer.to_string(),
                stream: stream.to_string(),
                participant: participant.to_string(),
                source: source(from),
                rtp_parameters_json: rtp_parameters.to_string(),
                paused,
            })
        }
        Signal::OfferPaused { offer } => What::OfferPaused(offer.to_string()),
        Signal::OfferResumed { offer } => What::OfferResumed(offer.to_string()),
        Signal::OfferClosed { offer } => What::OfferClosed(offer.to_string()),
        Signal::ActiveSpeaker { participant } => {
            What::ActiveSpeaker(wire::ActiveSpeaker { participant: participant.map(|id| id.to_string()) })
        }
        Signal::Levels { levels } => {
            let level =
                |level: &Level| wire::Level { participant: level.participant.to_string(), dbov: level.dbov.into() };
            What::Levels(wire::Levels { levels: levels.iter().map(level).collect() })
        }
        Signal::Score { offer, score } => What::Score(wire::Score { offer: offer.to_string(), score: score.into() }),
        Signal::Layers { offer, spatial, temporal } => What::Layers(wire::Layers {
            offer: offer.to_string(),
            spatial: spatial.map(u32::from),
            temporal: temporal.map(u32::from),
        }),
        Signal::Restarted => What::Restarted(wire::Nothing {}),
    };
    wire::Signal { what: Some(what) }
}

pub fn signal_of(signal: wire::Signal) -> Result<Signal, MediaError> {
    use wire::signal::What;
    Ok(match signal.what.ok_or_else(|| missing("signal"))? {
        What::Offered(offered) => Signal::Offered {
            offer: offer_of(&offered.offer)?,
            stream: stream_of(&offered.stream)?,
            participant: participant_of(&offered.participant)?,
            source: source_of(offered.source)?,
            rtp_parameters: json_of("rtpParameters", &offered.rtp_parameters_json)?,
            paused: offered.paused,
        },
        What::OfferPaused(offer) => Signal::OfferPaused { offer: offer_of(&offer)? },
        What::OfferResumed(offer) => Signal::OfferResumed { offer: offer_of(&offer)? },
        What::OfferClosed(offer) => Signal::OfferClosed { offer: offer_of(&offer)? },
        What::ActiveSpeaker(speaker) => {
            Signal::ActiveSpeaker { participant: speaker.participant.as_deref().map(participant_of).transpose()? }
        }
        What::Levels(levels) => {
            let level = |level: wire::Level| {
                let dbov = i8::try_from(level.dbov).unwrap_or(i8::MIN);
                Ok(Level { participant: participant_of(&level.participant)?, dbov })
            };
            Signal::Levels { levels: levels.levels.into_iter().map(level).collect::<Result<_, MediaError>>()? }
        }
        What::Score(score) => Signal::Score { offer: offer_of(&score.offer)?, score: small(score.score) },
        What::Layers(layers) => Signal::Layers {
            offer: offer_of(&layers.offer)?,
            spatial: layers.spatial.map(small),
            temporal: layers.temporal.map(small),
        },
        What::Restarted(_) => Signal::Restarted,
    })
}

pub fn observation(observation: &Observation) -> wire::Observation {
    use wire::observation::What;
    let what = match &observation.what {
        Observed::StreamEnded { session, participant, stream, why } => {
            let stream = wire::Stream { who: Some(who(*session, *participant)), stream: stream.to_string() };
            let why = match why {
                StreamEnd::TransportLost => wire::StreamEnd::TransportLost,
                StreamEnd::Replaced => wire::StreamEnd::Replaced,
            };
            What::StreamEnded(wire::StreamEnded { stream: Some(stream), why: why.into() })
        }
        Observed::TransportLost { session, participant } => What::TransportLost(who(*session, *participant)),
        Observed::Spoke { session, speech } => {
            let spoke = |(participant, milliseconds): &(ParticipantId, u64)| wire::Spoke {
                participant: participant.to_string(),
                milliseconds: *milliseconds,
            };
            What::Speech(wire::Speech { session: session.to_string(), spoke: speech.iter().map(spoke).collect() })
        }
    };
    wire::Observation { number: observation.id.number, at: observation.at.micros(), what: Some(what) }
}

/// `run` is the node's, which says its name only once.
pub fn observation_of(run: u64, observation: wire::Observation) -> Result<Observation, MediaError> {
    use wire::observation::What;
    let what = match observation.what.ok_or_else(|| missing("observation"))? {
        What::StreamEnded(ended) => {
            let stream = ended.stream.ok_or_else(|| missing("stream"))?;
            let (session, participant) = who_of(stream.who.as_ref())?;
            let why = match wire::StreamEnd::try_from(ended.why) {
                Ok(wire::StreamEnd::TransportLost) => StreamEnd::TransportLost,
                Ok(wire::StreamEnd::Replaced) => StreamEnd::Replaced,
                Ok(wire::StreamEnd::Unspecified) | Err(_) => return Err(missing("stream")),
            };
            Observed::StreamEnded { session, participant, stream: stream_of(&stream.stream)?, why }
        }
        What::TransportLost(lost) => {
            let (session, participant) = who_of(Some(&lost))?;
            Observed::TransportLost { session, participant }
        }
        What::Speech(speech) => {
            let spoke = |spoke: &wire::Spoke| Ok((participant_of(&spoke.participant)?, spoke.milliseconds));
            let all = speech.spoke.iter().map(spoke).collect::<Result<_, MediaError>>()?;
            Observed::Spoke { session: session_of(&speech.session)?, speech: all }
        }
    };
    Ok(Observation { id: ObservationId { run, number: observation.number }, at: Timestamp(observation.at), what })
}
