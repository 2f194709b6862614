//! What media nodes saw by themselves, recorded: each observation is kept by its node until it is, so nothing is lost while
//! the server is away. Recording one twice adds nothing.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::sync::watch;
use witan_domain::{
    Aggregate, CorrelationId, OrganizationId, SessionId,
    media::{EndStreams, Measure, MeasureSpeech, MediaCommand, Spoken, UnpublishReason, Which},
    session::Session,
};
use witan_media::{Observation, Observed, StreamEnd};

use super::{settled, stopped};
use crate::{App, Error, Request, media::in_time};

/// How long an observation that could not be recorded waits before it is tried again.
const RETRIED_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut observations = app.media.observations();
    loop {
        let observation = tokio::select! {
            observation = observations.next() => observation,
            () = stopped(&mut stop) => return,
        };
        let Some(observation) = observation else { return };
        while let Err(error) = record(&app, &observation).await {
            let chain = crate::error::chain(&error);
            tracing::error!(error = chain, "what a media node saw could not be recorded: tries again");
            tokio::select! {
                () = tokio::time::sleep(RETRIED_AFTER) => {}
                () = stopped(&mut stop) => return,
            }
        }
        if let Err(error) = in_time(app.media.acknowledge(observation.id)).await {
            // It comes again, and adds nothing.
            tracing::warn!(code = error.code(), "a media node was not told that an observation is recorded");
        }
    }
}

async fn record(app: &App, observation: &Observation) -> Result<(), Error> {
    let now = app.sources.now();
    let (session, command): (SessionId, MediaCommand) = match &observation.what {
        Observed::StreamEnded { session, stream, why, .. } => {
            let reason = match why {
                StreamEnd::TransportLost => UnpublishReason::ConnectionLost,
                StreamEnd::Replaced => UnpublishReason::EnteredAnew,
            };
            (*session, EndStreams { which: Which::One(*stream), reason, now }.into())
        }
        Observed::TransportLost { session, participant } => {
            let (which, reason) = (Which::OfParticipant(*participant), UnpublishReason::ConnectionLost);
            (*session, EndStreams { which, reason, now }.into())
        }
        Observed::Spoke { session, speech } => {
            let spoken = |(participant, milliseconds): &(_, _)| Spoken {
                participant: *participant,
                milliseconds: *milliseconds,
            };
            let measure = Measure { run: format!("{:016x}", observation.id.run), number: observation.id.number };
            (*session, MeasureSpeech { measure, speech: speech.iter().map(spoken).collect(), now }.into())
        }
    };
    let Some(organization) = organization_of(app, session)? else {
        tracing::warn!(%session, "a media node speaks of a session that this log does not have");
        return Ok(());
    };
    let request = Request::system(CorrelationId(app.sources.ulid()), None);
    settled(app.command_media(&request, organization, session, |_| command).await)
}

fn organization_of(app: &App, session: SessionId) -> Result<Option<OrganizationId>, Error> {
    Ok(app.streams.load::<Session>(&Session::stream(session))?.organization)
}
