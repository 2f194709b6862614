//! What witan does: each use case is a method of [`App`], which protects what is personal, authorises, loads, decides
//! and appends. What follows from an event by itself is in [`reactors`].

mod access;
pub mod ad_hoc;
pub mod api_keys;
pub mod authenticate;
mod authorise;
mod chat;
pub mod desk;
pub mod entry;
pub mod error;
pub mod execute;
pub mod feed;
pub mod history;
pub mod invitations;
pub mod join_tokens;
pub mod media;
pub mod opening;
pub mod organizations;
pub mod parts;
mod passwords;
pub mod people;
pub mod personal;
pub mod policies;
pub mod presence;
pub mod proofs;
mod rate;
pub mod reactors;
mod reservations;
mod rights;
pub mod rooms;
pub mod sessions;
pub mod signals;
pub mod sources;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod units;
pub mod users;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use witan_auth::{Directory, Policies, TokenKey};
use witan_domain::{Actor, ApiKeyId, OrganizationId, ParticipantId, PersonId, RoomId, SessionId, UnitId, UserId};
use witan_event_store::EventStore;
use witan_ledger::{LogReader, MerkleLog, Signer};
use witan_media::Media;
use witan_vault::Vault;

pub use authenticate::Credentials;
pub use error::Error;
pub use execute::{IdempotencyKey, Outcome, Request};
pub use sources::Sources;
pub use witan_event_store::{Direction, Position};

/// What a command has to know of other streams than its own, from the read models: what they don't know yet, a reaction
/// or the next command finds.
pub trait Lookups: Send + Sync + 'static {
    /// Whether a room of the unit is not archived.
    fn has_living_rooms(&self, organization: OrganizationId, unit: UnitId) -> Result<bool, Error>;

    fn person_ties(&self, organization: OrganizationId, person: PersonId) -> Result<PersonTies, Error>;

    /// The sessions that are live, as far as the read models know.
    fn live_sessions(&self, organization: OrganizationId) -> Result<Vec<SessionId>, Error>;

    /// The accounts of a person, active or not.
    fn accounts_of(&self, organization: OrganizationId, person: PersonId) -> Result<Vec<UserId>, Error>;

    /// The API keys that act as a user, good or not.
    fn keys_of(&self, organization: OrganizationId, user: UserId) -> Result<Vec<ApiKeyId>, Error>;
}

/// What ties a person to the organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PersonTies {
    /// An active account is theirs.
    pub active_user: bool,
    /// They are in a live session, or at its door.
    pub in_live_session: bool,
}

/// What an [`App`] is made of.
pub struct Pieces {
    pub store: Arc<dyn EventStore>,
    pub vault: Arc<Vault>,
    pub policies: Policies,
    pub tokens: TokenKey,
    pub directory: Arc<dyn Directory>,
    pub lookups: Arc<dyn Lookups>,
    pub merkle_log: MerkleLog,
    pub signer: Signer,
    pub media: Arc<dyn Media>,
    pub sources: Sources,
}

/// Everything that can be asked of witan.
pub struct App {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) policies: Policies,
    pub(crate) tokens: TokenKey,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) lookups: Arc<dyn Lookups>,
    pub(crate) log: LogReader,
    /// Until its reactor takes it.
    pub(crate) merkle_log: Mutex<Option<MerkleLog>>,
    pub(crate) signer: Signer,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) entrances: signals::Entrances,
    /// Of participants, for what they ask of a media node.
    pub(crate) media_turns: streams::Turns,
    pub(crate) sources: Sources,
    pub(crate) streams: streams::Streams,
    pub(crate) recently: authorise::Memory,
    pub(crate) used_keys: authenticate::UsedKeys,
    pub(crate) passwords: passwords::Passwords,
    /// The tokens that rooms give to strangers.
    pub(crate) strangers: rate::Rate<RoomId>,
    /// The messages that participants send.
    pub(crate) messages: rate::Rate<ParticipantId>,
    /// The sessions that strangers open.
    pub(crate) openings: rate::Rate<RoomId>,
    pub feeds: feed::Feeds,
    pub(crate) shown: history::Shown,
    pub presence: presence::Presences,
    pub parts: parts::Parts,
    /// The newest event that changed what someone may do: the directory has to know it before it is asked. At the start
    /// it is the log's end, since any event before it may have been one.
    newest_grant: AtomicU64,
}

impl App {
    pub fn new(pieces: Pieces) -> Self {
        let end = *pieces.store.durable().borrow();
        Self {
            streams: streams::Streams::new(Arc::clone(&pieces.store)),
            feeds: feed::Feeds::new(Arc::clone(&pieces.store)),
            store: pieces.store,
            vault: pieces.vault,
            policies: pieces.policies,
            passwords: passwords::Passwords::new(&pieces.tokens),
            tokens: pieces.tokens,
            directory: pieces.directory,
            lookups: pieces.lookups,
            log: pieces.merkle_log.reader(),
            merkle_log: Mutex::new(Some(pieces.merkle_log)),
            signer: pieces.signer,
            media: pieces.media,
            entrances: signals::Entrances::default(),
            media_turns: streams::Turns::default(),
            sources: pieces.sources,
            recently: authorise::Memory::default(),
            used_keys: authenticate::UsedKeys::default(),
            strangers: rate::Rate::new(join_tokens::STRANGERS_AT_ONCE, join_tokens::STRANGER_INTERVAL_MILLIS),
            messages: rate::Rate::new(chat::MESSAGES_AT_ONCE, chat::MESSAGE_INTERVAL_MILLIS),
            openings: rate::Rate::new(opening::OPENINGS_AT_ONCE, opening::OPENING_INTERVAL_MILLIS),
            shown: history::Shown::default(),
            presence: presence::Presences::default(),
            parts: parts::Parts::default(),
            newest_grant: AtomicU64::new(end.0),
        }
    }

    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The newest event that changed what someone may do, or the log's end at the start.
    pub fn newest_grant(&self) -> Position {
        Position(self.newest_grant.load(Ordering::Acquire))
    }

    /// Waits until the read models know everything that is recorded now: before a command is decided on what they say.
    pub(crate) async fn all_known(&self) -> Result<(), Error> {
        let newest = *self.store.durable().borrow();
        if self.directory.wait_for(newest.0).await {
            return Ok(());
        }
        Err(Error::Unavailable("The read models have not caught up: nothing was done. Please try again later.".into()))
    }

    pub(crate) fn granted(&self, position: Position) {
        self.newest_grant.fetch_max(position.0, Ordering::AcqRel);
    }
}

impl Request {
    /// The tenant that the actor belongs to: there is nothing for those who belong to none.
    pub fn organization(&self) -> Result<OrganizationId, Error> {
        match (&self.actor, self.actor.organization()) {
            (_, Some(organization)) => Ok(organization),
            (Actor::Anonymous, None) => Err(Error::Unauthenticated("This needs an API key or a participant's secret.")),
            (_, None) => Err(Error::Forbidden { reference: self.correlation.to_string() }),
        }
    }
}
