//! What one participant is told while they are in: what was recorded of the session, in order and without gap, and what a
//! media node says to them alone, of which only the newest counts.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};
use witan_auth::Operation;
use witan_domain::{Actor, Aggregate, OfferId, OrganizationId, ParticipantId, SessionId, chat::Chat, session::Session};
use witan_media::{Media, MediaError, MediaMode, Signal};

use crate::{
    App, Error, Position, Request,
    feed::{Feed, Topic},
    history::HistoryEvent,
    media::{NODE_TIME_MAX, bounded, parameters_invalid},
    sessions::own_participant,
};

/// How many signals may wait for one reader; more than that are not coalesced away only where nothing is read.
const WAITING_MAX: usize = 4_096;
/// How long a lost node is left alone before it is asked for signals again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Members of payloads that are for those who moderate, or lead to other records.
const NOT_FOR_ALL: [&str; 4] = ["external_id", "device", "token", "record"];

/// One thing that a participant is told.
#[derive(Debug)]
pub enum SessionSignal {
    /// It is recorded; other participants' secrets are left out.
    Event(Box<HistoryEvent>),
    /// It is gone once it is told.
    Media(Signal),
}

/// One participant's signals.
pub struct SessionSignals {
    feed: Feed,
    organization: OrganizationId,
    receiving: Option<Receiving>,
    ended: bool,
}

impl App {
    /// Tells a participant what happens, from now on or after `after`. With the capabilities of their client, streams are
    /// offered too, as soon as they have entered the media, and again whenever they enter anew.
    pub async fn session_signals(
        &self,
        request: &Request,
        session: SessionId,
        after: Option<Position>,
        rtp_capabilities: Option<Value>,
    ) -> Result<SessionSignals, Error> {
        if let Some(capabilities) = &rtp_capabilities {
            bounded("rtpCapabilities", capabilities)?;
        }
        let (organization, state) = self.may_read_session(request, session, Operation::SessionSignals).await?;
        let participant = own_participant(request, &state)?;
        let feed = self.feeds.open(Topic::Session(organization, session), after)?;
        let receiving = rtp_capabilities
            .filter(|_| self.media.mode() == MediaMode::Sfu)
            .map(|capabilities| Receiving::begin(&self.media, &self.entrances, session, participant, capabilities));
        Ok(SessionSignals { feed, organization, receiving, ended: false })
    }
}

impl SessionSignals {
    /// After which position to resume.
    pub fn position(&self) -> Position {
        self.feed.position()
    }

    /// What is to be told next; waits for it. None once the session has ended.
    pub async fn next(&mut self, app: &App) -> Result<Option<SessionSignal>, Error> {
        while !self.ended {
            let signal = tokio::select! {
                recorded = self.feed.next() => {
                    let recorded = recorded?;
                    if recorded.envelope.category() == Chat::CATEGORY {
                        continue;
                    }
                    let envelope = &recorded.envelope;
                    self.ended = envelope.category() == Session::CATEGORY && envelope.kind() == "SessionEnded";
                    SessionSignal::Event(Box::new(for_all(app.reveal_event(self.organization, &recorded)?)))
                }
                signal = received(self.receiving.as_ref()) => SessionSignal::Media(signal?),
            };
            return Ok(Some(signal));
        }
        Ok(None)
    }
}

async fn received(receiving: Option<&Receiving>) -> Result<Signal, Error> {
    match receiving {
        Some(receiving) => receiving.mailbox.next().await,
        None => std::future::pending().await,
    }
}

/// The event as everyone in the session may see it.
fn for_all(mut event: HistoryEvent) -> HistoryEvent {
    if let Actor::User { key, .. } = &mut event.actor {
        *key = None;
    }
    hide(&mut event.data);
    event
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                // A reason in free text is about a person; one that is a word is a fact.
                let is_free_text = name == "reason" && value.is_object();
                !is_free_text && !NOT_FOR_ALL.contains(&name.as_str())
            });
            members.values_mut().for_each(hide);
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

type Places = HashMap<(SessionId, ParticipantId), watch::Sender<()>>;

/// Tells whoever listens that a participant has entered the media anew.
#[derive(Default)]
pub(crate) struct Entrances {
    places: Arc<Mutex<Places>>,
}

/// One who listens; the last who goes takes the memory of it along.
struct Listening {
    places: Arc<Mutex<Places>>,
    place: (SessionId, ParticipantId),
    receiver: watch::Receiver<()>,
}

impl Entrances {
    pub(crate) fn tell(&self, session: SessionId, participant: ParticipantId) {
        if let Some(sender) = locked(&self.places).get(&(session, participant)) {
            sender.send_replace(());
        }
    }

    fn listen(&self, session: SessionId, participant: ParticipantId) -> Listening {
        let place = (session, participant);
        let receiver = locked(&self.places).entry(place).or_insert_with(|| watch::Sender::new(())).subscribe();
        Listening { places: Arc::clone(&self.places), place, receiver }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut places = locked(&self.places);
        // This receiver still counts, and nobody joins while the lock is held.
        if places.get(&self.place).is_some_and(|sender| sender.receiver_count() <= 1) {
            places.remove(&self.place);
        }
    }
}

/// Reads a node's signals to one participant for as long as it lives, however slowly they are taken from its mailbox.
struct Receiving {
    mailbox: Arc<Mailbox>,
    reading: AbortHandle,
}

impl Receiving {
    fn begin(
        media: &Arc<dyn Media>,
        entrances: &Entrances,
        session: SessionId,
        participant: ParticipantId,
        capabilities: Value,
    ) -> Self {
        let mailbox = Arc::<Mailbox>::default();
        let listening = entrances.listen(session, participant);
        let reading = read(Arc::clone(media), listening, capabilities, Arc::clone(&mailbox));
        Self { mailbox, reading: tokio::spawn(reading).abort_handle() }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Asks for signals, and again whenever the participant has entered anew. That a node says of an entrance that it is over is
/// told only where no other has followed: whoever enters anew knows.
async fn read(media: Arc<dyn Media>, mut listening: Listening, capabilities: Value, mailbox: Arc<Mailbox>) {
    let (session, participant) = listening.place;
    // Whether the entrance that the client knows of may be over; of that it is told once.
    let mut is_over = true;
    loop {
        listening.receiver.mark_unchanged();
        let asked = tokio::time::timeout(NODE_TIME_MAX, media.receive(session, participant, capabilities.clone()));
        match asked.await {
            Ok(Ok(mut signals)) => {
                if std::mem::take(&mut is_over) {
                    mailbox.void();
                }
                is_over = follow(&mut signals, &mut listening, &mailbox).await;
                if is_over {
                    continue;
                }
            }
            Ok(Err(MediaError::Invalid { field, message })) => {
                return mailbox.fail(parameters_invalid(field, message));
            }
            // They had entered a node that is lost, or not yet any: both are told to.
            Ok(Err(MediaError::NotThere(_))) => {
                is_over = false;
                mailbox.put(Signal::Restarted);
            }
            Ok(Err(MediaError::NoNode | MediaError::Node(_))) | Err(_) => {
                if std::mem::take(&mut is_over) {
                    mailbox.put(Signal::Restarted);
                }
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
                continue;
            }
        }
        if listening.receiver.changed().await.is_err() {
            return;
        }
    }
}

/// Takes signals until there are no more, or, which is true, the entrance that they are of is over.
async fn follow(
    signals: &mut (impl Stream<Item = Signal> + Unpin),
    listening: &mut Listening,
    mailbox: &Mailbox,
) -> bool {
    loop {
        tokio::select! {
            biased;
            _ = listening.receiver.changed() => return true,
            signal = signals.next() => match signal {
                Some(Signal::Restarted) => return true,
                Some(signal) => mailbox.put(signal),
                None => return false,
            },
        }
    }
}

/// What waits for a reader: bounded, for of what is said again only the newest counts.
#[derive(Default)]
struct Mailbox {
    mail: Mutex<Mail>,
    filled: Notify,
}

#[derive(Default)]
struct Mail {
    /// What has an order: offers, their ends, restarts.
    ordered: VecDeque<Signal>,
    speaker: Option<Signal>,
    levels: Option<Signal>,
    scores: BTreeMap<OfferId, Signal>,
    layers: BTreeMap<OfferId, Signal>,
    failed: Option<Error>,
}

impl Mailbox {
    fn put(&self, signal: Signal) {
        locked(&self.mail).put(signal);
        self.filled.notify_one();
    }

    /// What was put is of an entrance that is over.
    fn void(&self) {
        *locked(&self.mail) = Mail::default();
    }

    fn fail(&self, error: Error) {
        locked(&self.mail).failed = Some(error);
        self.filled.notify_one();
    }

    async fn next(&self) -> Result<Signal, Error> {
        loop {
            if let Some(next) = locked(&self.mail).take() {
                return next;
            }
            self.filled.notified().await;
        }
    }
}

impl Mail {
    fn put(&mut self, signal: Signal) {
        match signal {
            Signal::ActiveSpeaker { .. } => self.speaker = Some(signal),
            Signal::Levels { .. } => self.levels = Some(signal),
            Signal::Score { offer, .. } => _ = self.scores.insert(offer, signal),
            Signal::Layers { offer, .. } => _ = self.layers.insert(offer, signal),
            Signal::Offered { .. } => self.ordered.push_back(signal),
            Signal::OfferPaused { offer } => self.pause(offer, true, signal),
            Signal::OfferResumed { offer } => self.pause(offer, false, signal),
            Signal::OfferClosed { offer } => self.close(offer, signal),
            // All offers before it are void.
            Signal::Restarted => *self = Self { ordered: VecDeque::from([signal]), ..Self::default() },
        }
        if self.ordered.len() > WAITING_MAX {
            let message = "What was sent was not read in time: subscribe again.".into();
            *self =
                Self { failed: Some(Error::Rejected { code: "TOO_SLOW", field: None, message }), ..Self::default() };
        }
    }

    /// An offer that nobody has read yet is told as it is now; of pauses the last one is.
    fn pause(&mut self, of: OfferId, now: bool, signal: Signal) {
        for waiting in &mut self.ordered {
            match waiting {
                Signal::Offered { offer, paused, .. } if *offer == of => {
                    *paused = now;
                    return;
                }
                Signal::OfferPaused { offer } | Signal::OfferResumed { offer } if *offer == of => {
                    *waiting = signal;
                    return;
                }
                _ => {}
            }
        }
        self.ordered.push_back(signal);
    }

    fn close(&mut self, of: OfferId, signal: Signal) {
        let mut unread = false;
        self.ordered.retain(|waiting| match waiting {
            Signal::Offered { offer, .. } => {
                unread |= *offer == of;
                *offer != of
            }
            Signal::OfferPaused { offer } | Signal::OfferResumed { offer } => *offer != of,
            _ => true,
        });
        self.scores.remove(&of);
        self.layers.remove(&of);
        if !unread {
            self.ordered.push_back(signal);
        }
    }

    /// The oldest of what has an order, then the newest of the rest.
    fn take(&mut self) -> Option<Result<Signal, Error>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let latest = |mail: &mut Self| mail.speaker.take().or_else(|| mail.levels.take());
        let ordered = self.ordered.pop_front().or_else(|| latest(self));
        let of_offers = || self.layers.pop_first().or_else(|| self.scores.pop_first()).map(|(_, signal)| signal);
        ordered.or_else(of_offers).map(Ok)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these locks is held; what it guards would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
