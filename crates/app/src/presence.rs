//! Presence: a participant whose last connection goes away has dropped, and so has one who never opened any and has not
//! been heard of for a while. What follows is a deadline's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use witan_domain::{
    Actor, Aggregate, CorrelationId, OrganizationId, ParticipantId, SessionId, Timestamp,
    deadline::RECONNECT_SECONDS_MAX,
    participant::ParticipantState,
    session::{DropParticipant, ReconnectParticipant, Session, SessionCommand, SessionRecord, WithdrawKnock},
};

use crate::{App, Error, Request};

/// A page that reloads is back within this time and has not dropped.
const RELOAD_MILLISECONDS: u64 = 500;
/// How long whoever is in without a connection is taken to be there after they came or asked for something: programs and
/// people who act by plain requests are, a page that was closed before it connected is not.
pub const UNHEARD_SECONDS_MAX: u64 = 5 * 60;

type Place = (OrganizationId, SessionId, ParticipantId);

/// The connections that each participant has open.
#[derive(Default)]
pub struct Presences {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    places: HashMap<Place, Connections>,
    /// When each participant last came in or asked for something, unless that is longer ago than counts.
    heard: HashMap<Place, Timestamp>,
    /// Counts every opening.
    openings: u64,
}

#[derive(Clone, Copy, Default)]
struct Connections {
    open: usize,
    /// Which opening was the last: who waits since a closing sees by it whether there was another since.
    last_opening: u64,
}

impl Connections {
    fn gone_since(self, opening: u64) -> bool {
        self.open == 0 && self.last_opening == opening
    }
}

impl Presences {
    fn opened(&self, place: Place) {
        let mut known = self.known();
        known.openings += 1;
        let last_opening = known.openings;
        let connections = known.places.entry(place).or_default();
        *connections = Connections { open: connections.open + 1, last_opening };
    }

    /// The last opening, if with this closing no connection is left.
    fn closed(&self, place: Place) -> Option<u64> {
        let mut known = self.known();
        let connections = known.places.get_mut(&place)?;
        connections.open = connections.open.saturating_sub(1);
        (connections.open == 0).then_some(connections.last_opening)
    }

    /// The participant has just come, or asks for something.
    pub(crate) fn heard(&self, place: Place, now: Timestamp) {
        self.known().heard.insert(place, now);
    }

    /// Forgets of whom nothing was heard for so long that it no longer counts.
    pub(crate) fn forget_unheard(&self, now: Timestamp) {
        self.known().heard.retain(|_, heard| now < heard.plus_seconds(UNHEARD_SECONDS_MAX));
    }

    fn is_absent(&self, place: Place, now: Timestamp) -> bool {
        let known = self.known();
        let heard = known.heard.get(&place).is_some_and(|heard| now < heard.plus_seconds(UNHEARD_SECONDS_MAX));
        !heard && known.places.get(&place).is_none_or(|connections| connections.open == 0)
    }

    fn connected(&self, place: Place) -> bool {
        self.known().places.get(&place).is_some_and(|connections| connections.open > 0)
    }

    /// Whether there was no opening since that one.
    fn still_gone(&self, place: Place, since: u64) -> bool {
        self.known().places.get(&place).is_some_and(|connections| connections.gone_since(since))
    }

    fn forget(&self, place: Place, since: u64) {
        let mut known = self.known();
        if known.places.get(&place).is_some_and(|connections| connections.gone_since(since)) {
            known.places.remove(&place);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(actor: &Actor) -> Option<Place> {
    match actor {
        Actor::Participant { organization, session, participant } => Some((*organization, *session, *participant)),
        Actor::User { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
    }
}

impl App {
    /// A connection of this actor is there. A participant who had dropped is back by that.
    pub fn connection_opened(self: &Arc<Self>, actor: &Actor) {
        let Some(place) = place(actor) else { return };
        self.presence.opened(place);
        let app = Arc::clone(self);
        tokio::spawn(async move {
            // One that is gone again already is its closing's to record.
            if app.presence.connected(place) {
                app.record_presence(place).await;
            }
        });
    }

    /// A connection of this actor is gone. A page that reloads is back at once; whoever is not has dropped.
    pub fn connection_closed(self: &Arc<Self>, actor: &Actor) {
        let Some(place) = place(actor) else { return };
        let Some(since) = self.presence.closed(place) else { return };
        let app = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(RELOAD_MILLISECONDS)).await;
            if app.presence.still_gone(place, since) {
                app.record_presence(place).await;
                tokio::time::sleep(Duration::from_secs(RECONNECT_SECONDS_MAX)).await;
            }
            if app.presence.still_gone(place, since) {
                app.leave_the_door(place).await;
                app.presence.forget(place, since);
            }
        });
    }

    /// Whoever is in, has no connection and was not heard of lately has dropped: they never connected, or were lost while
    /// the server was away.
    pub(crate) async fn drop_absent(&self, organization: OrganizationId, session: SessionId) {
        let now = self.sources.now();
        let Ok(loaded) = self.load_own::<Session>(Some(organization), &Session::stream(session)) else { return };
        let present = loaded.state.live().into_iter().flat_map(SessionRecord::present);
        let places = present.map(|there| (organization, session, there.participant));
        let absent: Vec<_> = places.filter(|place| self.presence.is_absent(*place, now)).collect();
        drop(loaded);
        for place in absent {
            self.record_presence(place).await;
        }
    }

    /// Records what the participant's connections say, until it is what the session says too: while a drop was being
    /// recorded they may have come back, and nobody else would say so.
    async fn record_presence(&self, place: Place) {
        let (.., participant) = place;
        loop {
            let now = self.sources.now();
            let command: SessionCommand = match (self.presence.connected(place), self.stands(place)) {
                (true, Some(ParticipantState::Reconnecting)) => ReconnectParticipant { participant, now }.into(),
                (false, Some(ParticipantState::Joined | ParticipantState::OnHold)) => {
                    DropParticipant { participant, now }.into()
                }
                _ => return,
            };
            if !self.record(place, command).await {
                return;
            }
        }
    }

    /// Gone for as long as a participant has to reconnect: whoever only knocks has gone away by then.
    async fn leave_the_door(&self, place: Place) {
        if let Some(ParticipantState::Knocking | ParticipantState::Admitted) = self.stands(place) {
            let (.., participant) = place;
            self.record(place, WithdrawKnock { participant, now: self.sources.now() }.into()).await;
        }
    }

    fn stands(&self, (organization, session, participant): Place) -> Option<ParticipantState> {
        let state = self.session_state(organization, session).ok()?;
        state.live().and_then(|record| record.participant(participant)).map(|there| there.state)
    }

    /// Whether something was recorded. A rejection is fine: the session has changed meanwhile.
    async fn record(&self, (organization, session, participant): Place, command: SessionCommand) -> bool {
        let request = Request::system(CorrelationId(self.sources.ulid()), None);
        let name = command.name();
        match self.command_session(&request, organization, session, command).await {
            Ok(outcome) => outcome.position.is_some(),
            Err(Error::Rejected { .. } | Error::NotFound { .. }) => false,
            Err(error) => {
                tracing::error!(code = error.code(), %session, %participant, name, "presence could not be recorded");
                false
            }
        }
    }
}
