//! API keys: made for a user, shown once, known by their hash.

use witan_auth::{ApiKeySecret, Operation, Resource, ResourceKind, Scopes};
use witan_domain::{
    Actor, Aggregate, ApiKeyId, OrganizationId, Timestamp, UserId,
    api_key::{ApiKey, ApiKeyState, CreateApiKey, RevokeApiKey, UseApiKey},
    text::SecretHash,
};

use crate::{App, Error, Outcome, Request, execute::Presence};

/// A key as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiKey {
    pub name: String,
    /// What it may do at most; none for whatever its user may.
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
    /// As whom it acts.
    pub user: UserId,
}

/// A key that was made. `text` is shown this once.
pub struct CreatedApiKey {
    pub key: ApiKeyId,
    pub text: String,
    pub outcome: Outcome<ApiKey>,
}

/// What is asked of a key: whom it acts as decides.
pub fn key_resource(organization: OrganizationId, id: String, user: Option<UserId>) -> Resource {
    Resource { kind: ResourceKind::ApiKey, organization: Some(organization), id, user, ..Resource::default() }
}

impl App {
    /// Makes a key that acts as oneself, or as another for whoever may.
    pub async fn create_api_key(&self, request: &Request, new: &NewApiKey) -> Result<CreatedApiKey, Error> {
        self.create_api_key_as(request, request.organization()?, new).await
    }

    pub(crate) async fn create_api_key_as(
        &self,
        request: &Request,
        organization: OrganizationId,
        new: &NewApiKey,
    ) -> Result<CreatedApiKey, Error> {
        let scopes = Scopes::parse(new.scopes.iter().map(String::as_str))
            .map_err(|error| Error::invalid("scopes", error.to_string()))?;
        let key = ApiKeyId(self.id_for(request, "api key"));
        // With an idempotency key the secret is the same again, for whoever lost the first answer; nobody else can
        // derive it.
        let mut random = [0; 37];
        random[..5].copy_from_slice(&key.0.to_be_bytes()[11..]);
        let secret = match &request.idempotency {
            Some(idempotency) => self.tokens.derived_secret(&format!("api key {key} {}", idempotency.key)),
            None => self.sources.random::<32>(),
        };
        random[5..].copy_from_slice(&secret);
        let secret = ApiKeySecret::new(random);
        let user = new.user;
        let wanted =
            Resource { scopes: Some(scopes.clone()), ..key_resource(organization, key.to_string(), Some(user)) };
        let of_key = wanted.clone();
        let task = self
            .begin::<ApiKey>(request, Some(organization), key, Operation::CreateApiKey, Presence::Optional, move |_| {
                of_key.clone()
            })
            .await?;
        self.check_expiry(request, organization, new.expires_at)?;
        let user_active = self.user_state(organization, new.user)?.is_active();
        let command = CreateApiKey {
            organization,
            key,
            user,
            user_active,
            name: new.name.clone(),
            prefix: secret.prefix().to_owned(),
            secret_sha256: SecretHash(secret.sha256()),
            scopes: scopes.names().map(str::to_owned).collect(),
            expires_at: new.expires_at,
            now: task.now(),
        };
        let outcome = self.finish_grant(task, &command.into()).await?;
        // The user may have got a role while this was recorded: the reactor `keys` sees only the keys from before.
        if let Err(error) = self.authorise(request, Operation::CreateApiKey, &wanted).await {
            self.revoke_key(&Request::system(request.correlation, request.causation), organization, key).await?;
            return Err(error);
        }
        Ok(CreatedApiKey { key, text: secret.text(), outcome })
    }

    /// A key that ends makes none that goes on.
    fn check_expiry(
        &self,
        request: &Request,
        organization: OrganizationId,
        wanted: Option<Timestamp>,
    ) -> Result<(), Error> {
        let Actor::User { key: Some(by), .. } = request.actor else { return Ok(()) };
        let by = self.load_own::<ApiKey>(Some(organization), &ApiKey::stream(by))?;
        let latest = by.state.facts().map_err(Error::rejected)?.expires_at;
        match latest {
            Some(latest) if wanted.is_none_or(|wanted| wanted > latest) => Err(Error::invalid(
                "expiresAt",
                "expiresAt is missing, or later than the end of the key that you come by; expected that end or earlier",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Revokes a key by witan itself.
    pub(crate) async fn revoke_key(
        &self,
        request: &Request,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<(), Error> {
        let (operation, there) = (Operation::RevokeApiKey, Presence::Needed("API key"));
        let resource = |_: &_| Resource::default();
        let task = self.begin::<ApiKey>(request, Some(organization), key, operation, there, resource).await?;
        self.finish_grant(task, &RevokeApiKey {}.into()).await.map(|_| ())
    }

    pub async fn revoke_api_key(&self, request: &Request, key: ApiKeyId) -> Result<Outcome<ApiKey>, Error> {
        let organization = request.organization()?;
        let task = self
            .begin::<ApiKey>(
                request,
                Some(organization),
                key,
                Operation::RevokeApiKey,
                Presence::Needed("API key"),
                move |state| {
                    let user = match state {
                        ApiKeyState::Absent => None,
                        ApiKeyState::Present(facts) => Some(facts.user),
                    };
                    key_resource(organization, key.to_string(), user)
                },
            )
            .await?;
        self.finish_grant(task, &RevokeApiKey {}.into()).await
    }

    /// Records that the key is in use today, and whether that is recorded now. That it could not be keeps nobody out.
    pub(crate) async fn record_key_use(&self, organization: OrganizationId, key: ApiKeyId) -> bool {
        let request = Request::system(witan_domain::CorrelationId(self.sources.ulid()), None);
        let begun = self
            .begin::<ApiKey>(
                &request,
                Some(organization),
                key,
                Operation::CreateApiKey,
                Presence::Needed("API key"),
                |_| Resource::default(),
            )
            .await;
        let result = match begun {
            Ok(task) => {
                let now = task.now();
                task.finish(&UseApiKey { now }.into()).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            tracing::warn!(code = error.code(), %key, "the day of a key's use was not recorded");
        }
        result.is_ok()
    }
}
