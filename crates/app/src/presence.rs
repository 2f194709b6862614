//! Presence: a participant whose last connection goes away has dropped. What follows is a deadline's.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use witan_domain::{Actor, CorrelationId, OrganizationId, ParticipantId, SessionId};

use crate::{App, Request};

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
    pub fn connection_opened(&self, actor: &Actor) {
        if let Some(place) = place(actor) {
            self.presence.change(place, |count| count + 1);
        }
    }

    /// To be run when a connection is gone: waits whether the participant is back at once, and else says that they
    /// dropped.
    pub async fn connection_closed(&self, actor: &Actor) {
        let Some(place) = place(actor) else { return };
        if self.presence.change(place, |count| count.saturating_sub(1)) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(RELOAD_MILLISECONDS)).await;
        if self.presence.count(place) > 0 {
            return;
        }
        let (organization, session, participant) = place;
        let request = Request::system(CorrelationId(self.sources.ulid()), None);
        if let Err(error) = self.drop_participant(&request, organization, session, participant).await {
            tracing::error!(code = error.code(), %session, %participant, "a drop could not be recorded");
        }
    }
}
