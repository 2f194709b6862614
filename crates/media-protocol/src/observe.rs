//! The observations of whichever node is attached, over nodes that go and come.

use std::time::Duration;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::watch;
use tonic::Streaming;
use witan_media::Observation;

use crate::{
    client::Connection,
    convert,
    wire::{self, Nothing},
};

/// Before a node that did not tell is asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Who listens, and to what.
struct Observer {
    current: watch::Receiver<Option<Connection>>,
    from: Option<(u64, Streaming<wire::Observation>)>,
}

pub(crate) fn observations(current: watch::Receiver<Option<Connection>>) -> BoxStream<'static, Observation> {
    stream::unfold(Observer { current, from: None }, Observer::next).boxed()
}

impl Observer {
    /// `None` once nobody can attach a node any more.
    async fn next(mut self) -> Option<(Observation, Self)> {
        loop {
            let Some((run, observations)) = &mut self.from else {
                self.begin().await?;
                continue;
            };
            match observations.message().await {
                Ok(Some(told)) => match convert::observation_of(*run, told) {
                    Ok(observation) => return Some((observation, self)),
                    Err(error) => tracing::error!(%error, "an observation that makes no sense"),
                },
                Ok(None) | Err(_) => {
                    self.from = None;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn begin(&mut self) -> Option<()> {
        let connection = self.current.wait_for(Option::is_some).await.ok()?.clone();
        let Some(Connection { run, mut client }) = connection else { return Some(()) };
        match client.observe(Nothing {}).await {
            Ok(answer) => self.from = Some((run, answer.into_inner())),
            Err(status) => {
                tracing::debug!(code = ?status.code(), "the node does not tell what it saw");
                tokio::time::sleep(RETRY).await;
            }
        }
        Some(())
    }
}
