//! Presence: a participant whose last connection goes away has dropped. What follows is a
//! deadline's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use witan_domain::{
    Actor, CorrelationId, OrganizationId, ParticipantId, SessionId,
    deadline::RECONNECT_SECONDS_MAX,
    participant::ParticipantState,
    session::{DropParticipant, ReconnectParticipant, SessionCommand, SessionRecord, WithdrawKnock},
};

use crate::{App, Request, reactors::settled};

/// A page that reloads is back within this time and has not dropped.
const RELOAD_MILLISECONDS: u64 = 500;

type Place = (OrganizationId, SessionId, ParticipantId);

/// How many connections each participant has open.
#[derive(Default)]
pub struct Presences {
    open: Mutex<HashMap<Place, usize>>,
}

impl Presences {
    fn change(&self, place: Place, change: impl FnOnce(usize) -> usize) -> usize {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = change(open.get(&place).copied().unwrap_or(0));
        if count == 0 {
            open.remove(&place);
        } else {
            open.insert(place, count);
        }
        count
    }

    fn count(&self, place: Place) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&place).copied().unwrap_or(0)
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
        self.presence.change(place, |count| count + 1);
        let app = Arc::clone(self);
        tokio::spawn(async move { app.look_again(place, Seen::There).await });
    }

    /// A connection of this actor is gone. A page that reloads is back at once; whoever is not has dropped.
    pub fn connection_closed(self: &Arc<Self>, actor: &Actor) {
        let Some(place) = place(actor) else { return };
        if self.presence.change(place, |count| count.saturating_sub(1)) > 0 {
            return;
        }
        let app = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(RELOAD_MILLISECONDS)).await;
            app.look_again(place, Seen::Gone).await;
            tokio::time::sleep(Duration::from_secs(RECONNECT_SECONDS_MAX)).await;
            app.look_again(place, Seen::GoneFromTheDoor).await;
        });
    }

    /// After a start: whoever is in and has not connected within the time to reconnect was lost while the server was
    /// away.
    pub(crate) async fn drop_absent(&self, organization: OrganizationId, session: SessionId) {
        let Ok(state) = self.session_state(organization, session) else { return };
        let present = state.live().into_iter().flat_map(SessionRecord::present);
        for participant in present.map(|there| there.participant).collect::<Vec<_>>() {
            self.look_again((organization, session, participant), Seen::Gone).await;
        }
    }

    /// Says what follows from a participant's connections, if it still does.
    async fn look_again(&self, place: Place, seen: Seen) {
        let connected = self.presence.count(place) > 0;
        if connected != (seen == Seen::There) {
            return;
        }
        let (organization, session, participant) = place;
        let Ok(state) = self.session_state(organization, session) else { return };
        let there = state.live().and_then(|record| record.participant(participant)).map(|there| there.state);
        let now = self.sources.now();
        let command: SessionCommand = match (seen, there) {
            (Seen::There, Some(ParticipantState::Reconnecting)) => ReconnectParticipant { participant, now }.into(),
            (Seen::Gone, Some(ParticipantState::Joined | ParticipantState::OnHold)) => {
                DropParticipant { participant, now }.into()
            }
            (Seen::GoneFromTheDoor, Some(ParticipantState::Knocking | ParticipantState::Admitted)) => {
                WithdrawKnock { participant, now }.into()
            }
            _ => return,
        };
        let request = Request::system(CorrelationId(self.sources.ulid()), None);
        let name = command.name();
        if let Err(error) = settled(self.command_session(&request, organization, session, command).await) {
            tracing::error!(code = error.code(), %session, %participant, name, "presence could not be recorded");
        }
    }
}

/// What is seen of a participant's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    There,
    Gone,
    /// Gone for as long as a participant has to reconnect: whoever only knocks has gone away by then.
    GoneFromTheDoor,
}
