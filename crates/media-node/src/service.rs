//! The protocol's operations, by the node's sessions.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{
    Stream, StreamExt,
    stream::{self},
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use witan_domain::ParticipantId;
use witan_media::MediaError;
use witan_media_protocol::{
    PROTOCOL, convert,
    status::to_status,
    wire::{self, Nothing, node_server},
};

use crate::{node::Node, session::Session};

/// How often a server that watches hears of the node.
const LOAD_EVERY: Duration = Duration::from_millis(500);

pub struct Service {
    pub node: Arc<Node>,
    pub retire: watch::Sender<()>,
}

type Answer<T> = Result<Response<T>, Status>;
type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// In a task of its own: a caller who goes away leaves nothing half done, and a panic ends no connection.
async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T, MediaError>> + Send + 'static) -> Answer<T> {
    match tokio::spawn(work).await {
        Ok(done) => done.map(Response::new).map_err(to_status),
        Err(error) => {
            tracing::error!(%error, "an operation did not come to its end");
            Err(Status::internal("the operation did not come to its end"))
        }
    }
}

async fn done(work: impl Future<Output = Result<(), MediaError>> + Send + 'static) -> Answer<Nothing> {
    whole(async { work.await.map(|()| Nothing {}) }).await
}

impl Service {
    fn whose(&self, who: Option<&wire::Participant>) -> Result<(Arc<Session>, ParticipantId), Status> {
        let (session, participant) = convert::who_of(who).map_err(to_status)?;
        Ok((self.node.session(session).map_err(to_status)?, participant))
    }
}

/// One server watches, until it is dropped.
struct Watcher(Arc<Node>);

impl Watcher {
    fn new(node: Arc<Node>) -> Self {
        node.watching.fetch_add(1, Relaxed);
        Self(node)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Relaxed);
    }
}

#[tonic::async_trait]
impl node_server::Node for Service {
    type ReceiveStream = Told<wire::Signal>;
    type ObserveStream = Told<wire::Observation>;
    type WatchStream = Told<wire::Load>;

    async fn greet(&self, _: Request<Nothing>) -> Answer<wire::Greeting> {
        self.node.retired.store(false, Relaxed);
        Ok(Response::new(wire::Greeting {
            run: self.node.observations.run(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            settings: self.node.settings.digest(),
            pid: std::process::id(),
        }))
    }

    async fn retire(&self, _: Request<Nothing>) -> Answer<Nothing> {
        self.node.retired.store(true, Relaxed);
        self.retire.send_replace(());
        Ok(Response::new(Nothing {}))
    }

    async fn open_session(&self, request: Request<wire::Session>) -> Answer<Nothing> {
        let id = convert::session_of(&request.get_ref().session).map_err(to_status)?;
        let node = Arc::clone(&self.node);
        done(async move { node.open_session(id).await }).await
    }

    async fn close_session(&self, request: Request<wire::Session>) -> Answer<Nothing> {
        let id = convert::session_of(&request.get_ref().session).map_err(to_status)?;
        let node = Arc::clone(&self.node);
        done(async move {
            node.close_session(id).await;
            Ok(())
        })
        .await
    }

    async fn list_sessions(&self, _: Request<Nothing>) -> Answer<wire::Sessions> {
        let sessions = self.node.session_ids().iter().map(ToString::to_string).collect();
        Ok(Response::new(wire::Sessions { sessions }))
    }

    async fn mute(&self, request: Request<wire::SourceOf>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let source = convert::source_of(request.source).map_err(to_status)?;
        done(async move { session.mute(participant, source).await }).await
    }

    async fn allow(&self, request: Request<wire::SourceOf>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let source = convert::source_of(request.source).map_err(to_status)?;
        done(async move { session.allow(participant, source).await }).await
    }

    async fn set_held(&self, request: Request<wire::Held>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        done(async move { session.set_held(participant, request.held).await }).await
    }

    async fn disconnect(&self, request: Request<wire::Participant>) -> Answer<Nothing> {
        let (session, participant) = self.whose(Some(request.get_ref()))?;
        done(async move {
            session.disconnect(participant).await;
            Ok(())
        })
        .await
    }

    async fn enter(&self, request: Request<wire::Entering>) -> Answer<wire::Entrance> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let standing = convert::standing_of(&request).map_err(to_status)?;
        whole(async move { session.enter(participant, standing).await.map(|entrance| convert::entrance(&entrance)) })
            .await
    }

    async fn connect_transport(&self, request: Request<wire::TransportConnection>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        done(async move {
            let parameters = convert::json_of("dtlsParameters", &request.dtls_parameters_json)?;
            session.connect_transport(participant, &request.transport, parameters).await
        })
        .await
    }

    async fn restart_ice(&self, request: Request<wire::Transport>) -> Answer<wire::IceRestart> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        whole(async move {
            let parameters = session.restart_ice(participant, &request.transport).await?;
            Ok(wire::IceRestart { ice_parameters_json: parameters.to_string() })
        })
        .await
    }

    async fn publish(&self, request: Request<wire::Publication>) -> Answer<wire::Published> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        whole(async move {
            let publication = convert::publication_of(&request)?;
            session.publish(participant, publication).await.map(|published| convert::published(&published))
        })
        .await
    }

    async fn set_stream_paused(&self, request: Request<wire::StreamPause>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let stream = convert::stream_of(&request.stream).map_err(to_status)?;
        done(async move { session.set_stream_paused(participant, stream, request.paused).await }).await
    }

    async fn unpublish(&self, request: Request<wire::Stream>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let stream = convert::stream_of(&request.stream).map_err(to_status)?;
        done(async move {
            session.unpublish(participant, stream).await;
            Ok(())
        })
        .await
    }

    async fn receive(&self, request: Request<wire::Receiving>) -> Answer<Self::ReceiveStream> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let signals = whole(async move {
            let capabilities = convert::json_of("rtpCapabilities", &request.rtp_capabilities_json)?;
            session.receive(participant, capabilities).await
        });
        let signals = signals.await?.into_inner().map(|signal| Ok(convert::signal(signal)));
        Ok(Response::new(signals.boxed()))
    }

    async fn acknowledge_offer(&self, request: Request<wire::Offer>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let offer = convert::offer_of(&request.offer).map_err(to_status)?;
        done(async move { session.acknowledge_offer(participant, offer).await }).await
    }

    async fn set_preferred_layers(&self, request: Request<wire::PreferredLayers>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let offer = convert::offer_of(&request.offer).map_err(to_status)?;
        let layer = |layer: u32| u8::try_from(layer).unwrap_or(u8::MAX);
        let (spatial, temporal) = (layer(request.spatial), request.temporal.map(layer));
        done(async move { session.set_preferred_layers(participant, offer, spatial, temporal).await }).await
    }

    async fn request_key_frame(&self, request: Request<wire::Offer>) -> Answer<Nothing> {
        let request = request.into_inner();
        let (session, participant) = self.whose(request.who.as_ref())?;
        let offer = convert::offer_of(&request.offer).map_err(to_status)?;
        done(async move { session.request_key_frame(participant, offer).await }).await
    }

    async fn observe(&self, _: Request<Nothing>) -> Answer<Self::ObserveStream> {
        let observations = self.node.observations.listen().map(|one| Ok(convert::observation(&one)));
        Ok(Response::new(observations.boxed()))
    }

    async fn acknowledge(&self, request: Request<wire::Acknowledgement>) -> Answer<Nothing> {
        let wire::Acknowledgement { run, through } = request.into_inner();
        // Another run's numbers are no numbers of ours.
        if run == self.node.observations.run() {
            self.node.observations.acknowledge(through);
        }
        Ok(Response::new(Nothing {}))
    }

    async fn watch(&self, _: Request<Nothing>) -> Answer<Self::WatchStream> {
        let watcher = Watcher::new(Arc::clone(&self.node));
        let every = tokio::time::interval(LOAD_EVERY);
        let loads = stream::unfold((watcher, every), |(watcher, mut every)| async {
            every.tick().await;
            Some((Ok(watcher.0.load()), (watcher, every)))
        });
        Ok(Response::new(loads.boxed()))
    }
}
