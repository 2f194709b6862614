//! Callers: from a credential to who it is, asked of `app`; and their connections, by which a participant is present.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use witan_app::{App, Credentials, Error};
use witan_domain::{Actor, CorrelationId};

use crate::{Authenticate, Authenticated, Refusal, Share};

/// Knows callers by their API keys and resume secrets.
pub struct Callers {
    app: Arc<App>,
}

impl Callers {
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Authenticate for Callers {
    type Caller = Credentials;

    fn new_request_id(&self) -> CorrelationId {
        CorrelationId(self.app.sources().ulid())
    }

    async fn authenticate(
        &self,
        credential: Option<&str>,
        _: CorrelationId,
    ) -> Result<Authenticated<Credentials>, Refusal> {
        match self.app.authenticate(credential).await {
            Ok(Some(caller)) => Ok(Authenticated {
                introspection: matches!(caller.actor, Actor::User { .. }),
                credential: Some(fingerprint(credential.unwrap_or_default())),
                share: match caller.actor {
                    Actor::User { .. } | Actor::System | Actor::Operator => Share::Key,
                    Actor::Participant { .. } => Share::Participant,
                    Actor::Anonymous => Share::Nobody,
                },
                caller,
            }),
            Ok(None) | Err(Error::Unauthenticated(_)) => Err(Refusal::Unauthenticated),
            Err(error @ Error::Unavailable(_)) => Err(Refusal::Unavailable(error.to_string())),
            Err(error) => Err(Refusal::Fault(Box::new(error))),
        }
    }

    async fn still_allowed(&self, caller: &Credentials) -> bool {
        self.app.still_stands(caller).await
    }

    fn connection_opened(&self, caller: &Credentials) {
        self.app.connection_opened(&caller.actor);
    }

    fn connection_closed(&self, caller: &Credentials) {
        self.app.connection_closed(&caller.actor);
    }
}

/// What the connections of one credential are counted by.
fn fingerprint(credential: &str) -> u128 {
    let digest = Sha256::digest(credential);
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
