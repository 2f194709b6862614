//! Passwords of rooms: set as part of a level's policies, checked at the door.
//!
//! A check costs some ten milliseconds of a processor and 19 MiB, right or wrong. So few run at once, off the threads that
//! serve requests; few more wait, and of these a room has its share; a room has so many checked a second, and of wrong ones
//! takes so many a minute only.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use witan_auth::{Password, PasswordError, PasswordKey, TokenKey};
use witan_domain::{
    Actor, RoomId, Timestamp,
    policy::{self, Grant, PasswordHash},
};

use crate::{App, Error, Request, rate::Rate};

/// How many wrong passwords a room takes at once, from strangers and from the organization's users apart: a stranger can't
/// lock a user out.
pub const WRONG_PASSWORDS_AT_ONCE: u32 = 10;
/// After how long it takes one more: 14,400 a day.
pub const WRONG_PASSWORD_INTERVAL_MILLIS: u32 = 6_000;
/// How many passwords of one room are checked at once: a webinar's guests, who all know it and come in its first minute.
/// From strangers and from users apart.
pub const CHECKS_AT_ONCE: u32 = 300;
/// After how long one more of them is.
pub const CHECK_INTERVAL_MILLIS: u32 = 200;
/// How many wait for their turn to be checked: at 40 a second these take twelve seconds.
const WAITING_MAX: usize = 500;
/// How many of them wait at one room: whoever knows the password of one keeps nobody out of the others.
const WAITING_OF_ROOM_MAX: usize = 100;

/// Where a password was tried, and whether by a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tried {
    place: u128,
    by_stranger: bool,
}

pub(crate) struct Passwords {
    key: Arc<PasswordKey>,
    turns: Arc<Semaphore>,
    waiting: Mutex<Crowd>,
    checks: Rate<Tried>,
    wrong: Rate<Tried>,
    /// Tried where there is nothing to guess. It is answered alike, and counted apart: whoever tries a million ids makes
    /// no room's count forgotten.
    in_vain: Rate<Tried>,
}

impl Passwords {
    pub fn new(tokens: &TokenKey) -> Self {
        // Half of the processors at most are kept busy by those who are not in yet.
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let rate = || Rate::new(WRONG_PASSWORDS_AT_ONCE, WRONG_PASSWORD_INTERVAL_MILLIS);
        Self {
            key: Arc::new(PasswordKey::of(tokens)),
            // Each check that runs counts as wrong until it is done: fewer run than may be wrong.
            turns: Arc::new(Semaphore::new((processors / 2).clamp(1, WRONG_PASSWORDS_AT_ONCE as usize / 2))),
            waiting: Mutex::default(),
            checks: Rate::new(CHECKS_AT_ONCE, CHECK_INTERVAL_MILLIS),
            wrong: rate(),
            in_vain: rate(),
        }
    }

    /// The hash of a password that is set at `level`.
    pub async fn hash(&self, level: String, password: Password) -> Result<PasswordHash, Error> {
        let turn = self.turn(level.clone()).await?;
        self.work(turn, move |key| key.hash(&level, &password)).await
    }

    /// Whether what was given is the password behind the hash.
    async fn knows(
        &self,
        tried: Tried,
        hash: &PasswordHash,
        given: &str,
        now: impl Fn() -> Timestamp,
    ) -> Result<bool, Error> {
        if self.wrong.is_spent(tried, now()) || !self.checks.take(tried, now()) {
            return Err(too_many());
        }
        let password = Password::given(given);
        let turn = self.turn(format!("{tried:?}")).await?;
        // Counted in one's turn: those who wait beside others with the right password must not be taken for wrong.
        if !self.wrong.take(tried, now()) {
            return Err(too_many());
        }
        let Some(password) = password else { return Ok(false) };
        let hash = hash.clone();
        let knows = self.work(turn, move |key| key.matches(&hash, &password)).await?;
        if knows {
            self.wrong.give_back(tried);
        }
        Ok(knows)
    }

    /// Somebody gave a password and is refused, perhaps where nobody gets in by one: told so as often as where one can.
    fn try_in_vain(&self, tried: Tried, now: Timestamp) -> Result<(), Error> {
        if self.in_vain.take(tried, now) { Ok(()) } else { Err(too_many()) }
    }

    async fn turn(&self, at: String) -> Result<OwnedSemaphorePermit, Error> {
        let waiting = Waiting::begin(&self.waiting, at)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        drop(waiting);
        turn.map_err(Error::fault)
    }

    /// The turn ends with the work, also when nobody waits for the answer any more.
    async fn work<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce(&PasswordKey) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, Error> {
        let key = Arc::clone(&self.key);
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&key);
            drop(turn);
            result
        });
        done.await.map_err(Error::fault)?.map_err(Error::fault)
    }
}

/// Those who wait for a turn: in all, and at each room.
#[derive(Default)]
struct Crowd {
    all: usize,
    at: HashMap<String, usize>,
}

/// One of them, for as long as they wait.
struct Waiting<'a> {
    crowd: &'a Mutex<Crowd>,
    at: String,
}

impl<'a> Waiting<'a> {
    fn begin(all: &'a Mutex<Crowd>, at: String) -> Result<Self, Error> {
        let mut crowd = all.lock().unwrap_or_else(PoisonError::into_inner);
        let here = crowd.at.get(&at).copied().unwrap_or(0);
        if crowd.all >= WAITING_MAX || here >= WAITING_OF_ROOM_MAX {
            return Err(Error::Unavailable("Too many passwords are being checked: try again in a few seconds.".into()));
        }
        crowd.all += 1;
        crowd.at.insert(at.clone(), here + 1);
        drop(crowd);
        Ok(Self { crowd: all, at })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        crowd.all -= 1;
        if let Some(here) = crowd.at.get_mut(&self.at) {
            *here -= 1;
            if *here == 0 {
                crowd.at.remove(&self.at);
            }
        }
    }
}

fn too_many() -> Error {
    Error::Rejected {
        code: "TOO_MANY_ATTEMPTS",
        field: Some("password".into()),
        message: "Too many passwords were given here lately: try again in a minute.".into(),
    }
}

impl App {
    /// Which passwords of these grants the caller has shown to know: none, or the one.
    pub(crate) async fn shown_passwords(
        &self,
        request: &Request,
        room: RoomId,
        grants: &[Grant],
        given: Option<&str>,
    ) -> Result<BTreeSet<PasswordHash>, Error> {
        let (Some(given), Some(hash)) = (given, policy::password(grants)) else { return Ok(BTreeSet::new()) };
        let by_stranger = match request.actor {
            Actor::User { .. } => false,
            Actor::Anonymous => true,
            // Participants are in one session, and nobody elsewhere; witan itself needs no password.
            Actor::Participant { .. } | Actor::System | Actor::Operator => return Ok(BTreeSet::new()),
        };
        let tried = Tried { place: room.0, by_stranger };
        let knows = self.passwords.knows(tried, hash, given, || self.sources.now()).await?;
        Ok(knows.then(|| hash.clone()).into_iter().collect())
    }

    /// How a stranger is refused: in one way for every reason, so that they don't learn what there is. `place` is what they
    /// named, or the room behind it.
    pub(crate) fn refuse_stranger(&self, request: &Request, place: u128, password: Option<&str>) -> Error {
        let tried = Tried { place, by_stranger: true };
        if password.is_some()
            && let Err(too_many) = self.passwords.try_in_vain(tried, self.sources.now())
        {
            return too_many;
        }
        let reference = request.correlation;
        Error::Rejected {
            code: "ENTRY_REFUSED",
            field: None,
            message: format!(
                "There is nothing here that you may enter: check the link and the password, or ask whoever gave them to \
                 you (reference {reference})."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const TRIED: Tried = Tried { place: 7, by_stranger: true };

    fn passwords() -> Passwords {
        Passwords::new(&TokenKey::new([3; 32]))
    }

    async fn hash_of(passwords: &Passwords, text: &str) -> PasswordHash {
        passwords.hash("room".into(), Password::try_new(text).unwrap()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_class_that_knows_it_comes_in_at_once() {
        let passwords = Arc::new(passwords());
        let hash = hash_of(&passwords, "correct horse").await;
        let tries: Vec<_> = (0..40)
            .map(|_| {
                let (passwords, hash) = (Arc::clone(&passwords), hash.clone());
                tokio::spawn(async move { passwords.knows(TRIED, &hash, "correct horse", || NOW).await })
            })
            .collect();
        for one in tries {
            assert!(one.await.unwrap().unwrap());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn wrong_ones_are_checked_a_few_times_only() {
        let passwords = passwords();
        let hash = hash_of(&passwords, "correct horse").await;
        let mut wrong = 0;
        for _ in 0..200 {
            match passwords.knows(TRIED, &hash, "wrong horse", || NOW).await {
                Ok(knows) => {
                    assert!(!knows);
                    wrong += 1;
                }
                Err(error) => assert_eq!(error.code(), "TOO_MANY_ATTEMPTS"),
            }
        }
        assert_eq!(wrong, WRONG_PASSWORDS_AT_ONCE);
        let user = Tried { by_stranger: false, ..TRIED };
        assert!(passwords.knows(user, &hash, "correct horse", || NOW).await.unwrap());
        let later = || NOW.plus_seconds(u64::from(WRONG_PASSWORD_INTERVAL_MILLIS / 1_000));
        assert!(passwords.knows(TRIED, &hash, "correct horse", later).await.unwrap());
    }

    /// Whoever knows one room's password must not have the processors, nor the places of those who wait elsewhere.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn right_ones_are_checked_so_often_too() {
        let passwords = passwords();
        let hash = hash_of(&passwords, "correct horse").await;
        let spent = (0..CHECKS_AT_ONCE).filter(|_| passwords.checks.take(TRIED, NOW)).count();
        assert_eq!(spent, CHECKS_AT_ONCE as usize);
        let refused = passwords.knows(TRIED, &hash, "correct horse", || NOW).await;
        assert_eq!(refused.unwrap_err().code(), "TOO_MANY_ATTEMPTS");
        let elsewhere = Tried { place: 8, ..TRIED };
        assert!(passwords.knows(elsewhere, &hash, "correct horse", || NOW).await.unwrap());
        let later = || NOW.plus_seconds(1);
        assert!(passwords.knows(TRIED, &hash, "correct horse", later).await.unwrap());
    }

    #[test]
    fn a_room_has_its_share_of_those_who_wait() {
        let crowd = Mutex::default();
        let here: Vec<_> = (0..WAITING_OF_ROOM_MAX).map(|_| Waiting::begin(&crowd, "here".into()).unwrap()).collect();
        assert_eq!(Waiting::begin(&crowd, "here".into()).err().map(|error| error.code()), Some("UNAVAILABLE"));
        let elsewhere: Vec<_> = (here.len()..WAITING_MAX)
            .map(|n| Waiting::begin(&crowd, (n / WAITING_OF_ROOM_MAX).to_string()).unwrap())
            .collect();
        assert!(Waiting::begin(&crowd, "a last one".into()).is_err());
        drop((here, elsewhere));
        assert!(Waiting::begin(&crowd, "here".into()).is_ok());
        assert!(crowd.lock().unwrap().at.is_empty());
    }

    #[test]
    fn where_there_is_none_it_is_refused_as_often() {
        let passwords = passwords();
        assert!((0..WRONG_PASSWORDS_AT_ONCE).all(|_| passwords.try_in_vain(TRIED, NOW).is_ok()));
        assert_eq!(passwords.try_in_vain(TRIED, NOW).unwrap_err().code(), "TOO_MANY_ATTEMPTS");
    }
}
