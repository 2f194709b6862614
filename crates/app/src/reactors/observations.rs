//! What media nodes saw by themselves, recorded: each observation is kept by its node until it is, so nothing is lost while
//! the server is away. Recording one twice adds nothing.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use witan_domain::{
    Aggregate, CorrelationId, OrganizationId, SessionId,
    media::{EndStreams, Measure, MeasureSpeech, MediaCommand, Spoken, UnpublishReason, Which},
    session::Session,
};
use witan_event_store::Position;
use witan_media::{Observation, Observed, StreamEnd};

use super::{Run, settled, stopped};
use crate::{App, Error, Request, media::answered};

/// How long an observation that could not be recorded waits before it is tried again.
const RETRIED_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn run(mut run: Run) {
    let result = follow(&mut run).await;
    run.ended(result);
}

async fn follow(run: &mut Run) -> Result<(), Error> {
    let (app, mut stop) = (Arc::clone(&run.app), run.stop.clone());
    // It follows the nodes, not the log: of the log it is never behind.
    run.reached(Position(u64::MAX));
    let mut observations = app.media.observations();
    loop {
        let observation = tokio::select! {
            observation = observations.next() => observation,
            () = stopped(&mut stop) => return Ok(()),
        };
        // Without media there are none, and never will be.
        let Some(observation) = observation else {
            stopped(&mut stop).await;
            return Ok(());
        };
        while let Err(error) = record(&app, &observation).await {
            let chain = crate::error::chain(&error);
            tracing::error!(error = chain, "what a media node saw could not be recorded: tries again");
            run.fails_at(1);
            tokio::select! {
                () = tokio::time::sleep(RETRIED_AFTER) => {}
                () = stopped(&mut stop) => return Ok(()),
            }
        }
        run.fails_at(0);
        if let Err(error) = answered(app.media.acknowledge(observation.id)).await {
            // It comes again, and adds nothing.
            tracing::warn!(%error, "a media node was not told that an observation is recorded");
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
        // It may be back: which streams have ended with a connection is told one by one.
        Observed::TransportLost { .. } => return Ok(()),
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
    settled(app.command_media(&request, organization, session, |_, _| command).await)
}

fn organization_of(app: &App, session: SessionId) -> Result<Option<OrganizationId>, Error> {
    Ok(app.streams.load::<Session>(&Session::stream(session))?.organization)
}
