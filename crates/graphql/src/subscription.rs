//! Subscriptions: events as they are recorded, and a session as its read model changes.

use std::sync::Arc;

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt, stream};
use witan_app::{App, Request, history::SessionFeed};
use witan_auth::{Operation, Resource};
use witan_domain::SessionId;

use crate::{
    call::{Call, Services, shown},
    desk::WaitingDesk,
    history::Event,
    response::Subscriber,
    scalars::{Json, Position},
    session::Session,
    signals::{SessionSignal, signals},
};

/// The root of subscriptions.
#[derive(Default)]
pub struct SubscriptionRoot;

#[Subscription]
impl SubscriptionRoot {
    /// A session's events from now on, or everything after a position: without gap or duplicate. Chat messages only for
    /// those who may read the chat. Who is let go is told after which position to resume.
    async fn session_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] session_id: ID,
        #[graphql(desc = "Begins after this position; without it, with what is recorded from now on.")] after: Option<
            Position,
        >,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Event>>> {
        let call = Call::query(ctx)?;
        let session: SessionId = crate::call::id("sessionId", &session_id)?;
        let after = after.map(|position| witan_app::Position(position.0));
        let feed = call.app().session_events(&call.request, session, after).await.map_err(shown)?;
        let subscriber = ctx.data::<Subscriber>()?.clone();
        let (app, request) = (Arc::clone(&call.services.app), call.request.clone());
        subscriber.allowed_while(format!("the events of {session}"), move || {
            let (app, request) = (Arc::clone(&app), request.clone());
            Box::pin(async move { app.may_still_read(&request, session, Operation::SessionEvents).await })
        });
        Ok(events(Arc::clone(&call.services.app), feed, subscriber))
    }

    /// What a participant is told while they are in the session: its events, from now on or after a position, without gap or
    /// duplicate, and what a media node says to them. It ends with the session. For participants, by their resume secret.
    async fn session_signals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] session_id: ID,
        #[graphql(desc = "Events begin after this position; without it, with what is recorded from now on.")]
        after: Option<Position>,
        #[graphql(
            desc = "What the client can receive: mediasoup-client's `device.recvRtpCapabilities`, at most 64 KiB, 10 \
                          deep. With them streams are offered, those that there are and all that come; a participant's \
                          newest subscription gets the offers. Without them nothing comes but events."
        )]
        rtp_capabilities: Option<Json>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<SessionSignal>>> {
        let call = Call::query(ctx)?;
        let session: SessionId = crate::call::id("sessionId", &session_id)?;
        let after = after.map(|position| witan_app::Position(position.0));
        let capabilities = rtp_capabilities.map(|Json(capabilities)| capabilities);
        let found = call.app().session_signals(&call.request, session, after, capabilities).await.map_err(shown)?;
        let subscriber = ctx.data::<Subscriber>()?.clone();
        let (app, request) = (Arc::clone(&call.services.app), call.request.clone());
        subscriber.allowed_while(format!("the signals of {session}"), move || {
            let (app, request) = (Arc::clone(&app), request.clone());
            Box::pin(async move { app.may_still_read(&request, session, Operation::SessionSignals).await })
        });
        Ok(signals(Arc::clone(&call.services.app), found, subscriber))
    }

    /// Everything that happens in the organization, from now on or after a position, without content.
    async fn organization_activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Begins after this position; without it, with what is recorded from now on.")] after: Option<
            Position,
        >,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Event>>> {
        let call = Call::query(ctx)?;
        let after = after.map(|position| witan_app::Position(position.0));
        let feed = call.app().organization_activity(&call.request, after).await.map_err(shown)?;
        let subscriber = ctx.data::<Subscriber>()?.clone();
        let resource = witan_app::history::organization_resource(call.organization()?);
        allowed_while(&call, &subscriber, Operation::OrganizationActivity, resource);
        Ok(events(Arc::clone(&call.services.app), feed, subscriber))
    }

    /// Who waits in a unit and the units below it, each time that it changed, and once at the start. Changes that come
    /// faster than they are read are shown as one, the latest.
    async fn waiting_desk_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The unit's id.")] unit_id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<WaitingDesk>>> {
        crate::desk::changes(ctx, crate::call::id("unitId", &unit_id)?).await
    }

    /// A session each time that its read model changed, and once at the start. Changes that come faster than they are
    /// read are shown as one, the latest.
    async fn session_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] session_id: ID,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Option<Session>>>> {
        let call = Call::query(ctx)?;
        let session: SessionId = crate::call::id("sessionId", &session_id)?;
        let (organization, _) =
            call.app().may_read_session(&call.request, session, Operation::SessionChanged).await.map_err(shown)?;
        // Listening begins before the first look, so that no change falls between the two.
        let changed = call.models().changes.session(organization, session);
        let subscriber = ctx.data::<Subscriber>()?.clone();
        let (app, request) = (Arc::clone(&call.services.app), call.request.clone());
        subscriber.allowed_while(format!("the state of {session}"), move || {
            let (app, request) = (Arc::clone(&app), request.clone());
            Box::pin(async move { app.may_still_read(&request, session, Operation::SessionChanged).await })
        });
        let services = Services { app: Arc::clone(&call.services.app), models: Arc::clone(&call.services.models) };
        let request = call.request.clone();
        let state = (services, request, changed, true);
        Ok(stream::unfold(state, move |(services, request, mut changed, first)| async move {
            if !first && !changed.changed().await {
                return None;
            }
            changed.seen();
            let found = {
                let call = Call { services: &services, request: request.clone() };
                Session::find(&call, session).await
            };
            Some((found, (services, request, changed, false)))
        }))
    }
}

pub fn allowed_while(call: &Call<'_>, subscriber: &Subscriber, operation: Operation, resource: Resource) {
    let (app, request): (Arc<App>, Request) = (Arc::clone(&call.services.app), call.request.clone());
    subscriber.allowed_while(format!("{operation:?} of {}", resource.id), move || {
        let (app, request, resource) = (Arc::clone(&app), request.clone(), resource.clone());
        Box::pin(async move { app.allows(&request, operation, &resource).await })
    });
}

fn events(
    app: Arc<App>,
    feed: SessionFeed,
    subscriber: Subscriber,
) -> impl Stream<Item = async_graphql::Result<Event>> {
    subscriber.begins_after(feed.position().0.to_string());
    stream::unfold((app, feed, false), |(app, mut feed, failed)| async move {
        if failed {
            return None;
        }
        let next = feed.next(&app).await;
        let failed = next.is_err();
        Some((next.map(Event::from).map_err(shown), (app, feed, failed)))
    })
    .map(move |item| {
        if let Ok(event) = &item {
            subscriber.reached(event.log_position().0.to_string());
        }
        item
    })
}
