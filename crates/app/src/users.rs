//! Users: accounts of an organization. A login is reserved by its alias before the account that has it is recorded.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    AccountRole, Actor, Aggregate, AliasId, OrganizationId, PersonId, RoleScope, Timestamp, UnitId, UserId,
    organization::{GrantOwner, Organization, RevokeOwner},
    reservation::{Holder, ReservationId},
    text,
    user::{
        CreateUser, DeactivateUser, GrantRole, ReactivateUser, RevokeRole, UpdateUser, User, UserDetails, UserState,
    },
};
use witan_vault::{AliasKind, VaultError};

use crate::{
    App, Error, Outcome, Request,
    execute::{Presence, Task},
    organizations::ORGANIZATION,
    personal::Text,
    reservations::cleaned_up,
};

const USER: Presence = Presence::Needed("user");

/// An account's own data, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUser {
    pub login: String,
    pub name: String,
    pub email: Option<String>,
    /// The person's id in a system of the organization: the same id is the same person.
    pub external_id: Option<String>,
    pub unit: Option<UnitId>,
}

/// What changes a role: who gets it and who loses it.
pub enum RoleOutcome {
    /// Owners are the organization's own.
    Organization(Box<Outcome<Organization>>),
    User(Box<Outcome<User>>),
}

impl RoleOutcome {
    pub fn position(&self) -> Option<witan_event_store::Position> {
        match self {
            Self::Organization(outcome) => outcome.position,
            Self::User(outcome) => outcome.position,
        }
    }
}

/// What is asked of an account.
pub fn user_resource(organization: OrganizationId, user: UserId, state: &UserState) -> Resource {
    let unit = state.facts().ok().and_then(|facts| facts.details.unit);
    Resource { user: Some(user), id: user.to_string(), ..new_user_resource(organization, unit) }
}

/// What is asked of an account that is not there yet.
fn new_user_resource(organization: OrganizationId, unit: Option<UnitId>) -> Resource {
    Resource {
        kind: ResourceKind::User,
        organization: Some(organization),
        unit,
        id: organization.to_string(),
        ..Resource::default()
    }
}

fn role_resource(organization: OrganizationId, user: UserId, role: AccountRole, scope: RoleScope) -> Resource {
    Resource {
        kind: ResourceKind::Role,
        organization: Some(organization),
        unit: scope_unit(scope),
        user: Some(user),
        role: Some(role),
        id: user.to_string(),
        ..Resource::default()
    }
}

impl App {
    async fn begin_user<'a>(
        &'a self,
        request: &'a Request,
        user: UserId,
        operation: Operation,
    ) -> Result<Task<'a, User>, Error> {
        let organization = request.organization()?;
        self.begin::<User>(request, Some(organization), user, operation, USER, move |state| {
            user_resource(organization, user, state)
        })
        .await
    }

    pub async fn create_user(&self, request: &Request, input: &NewUser) -> Result<(UserId, Outcome<User>), Error> {
        let organization = request.organization()?;
        let user = UserId(self.id_for(request, "user"));
        if self.answered::<User>(request, organization, user, Operation::CreateUser)?.is_none() {
            self.authorise(request, Operation::CreateUser, &new_user_resource(organization, input.unit)).await?;
            self.check_user(input)?;
            self.check_external_id(request, organization, input.external_id.as_deref(), Some(user)).await?;
        }
        let outcome = self.create_user_as(request, organization, user, input).await?;
        Ok((user, outcome))
    }

    pub(crate) fn check_user(&self, input: &NewUser) -> Result<(), Error> {
        text::login("login", &input.login).map_err(Error::rejected)?;
        text::name("name", &input.name).map_err(Error::rejected)?;
        if let Some(email) = &input.email {
            text::email("email", email).map_err(Error::rejected)?;
        }
        if let Some(external_id) = &input.external_id {
            text::external_id("externalId", external_id).map_err(Error::rejected)?;
        }
        Ok(())
    }

    /// The steps of making a user, once someone may: the person, the login's alias and its reservation, the account.
    pub(crate) async fn create_user_as(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        input: &NewUser,
    ) -> Result<Outcome<User>, Error> {
        if let Some(outcome) = self.answered::<User>(request, organization, user, Operation::CreateUser)? {
            self.own_login(organization, &outcome.state).await?;
            return Ok(outcome);
        }
        let fresh = PersonId(self.id_for(request, "user person"));
        let person = self.person_for(organization, input.external_id.as_deref(), fresh).await?;
        let login_alias = self.login_alias(request, organization, user, person, &input.login).await?;
        let name = ReservationId::Login(organization, login_alias);
        self.reserve(request, Some(organization), name, Holder::User(user)).await?;
        match self.create_named_user(request, organization, user, person, login_alias, input).await {
            Ok(outcome) => {
                self.own_login(organization, &outcome.state).await?;
                Ok(outcome)
            }
            Err(error) => {
                cleaned_up(self.release_logins(request, organization, user, [login_alias]).await);
                Err(error)
            }
        }
    }

    /// The alias of an account's login may have been made for another person, by an attempt that was never recorded or one
    /// that was cut before it let go. Now that it is recorded whose login it is, erasing that person deletes the alias.
    async fn own_login(&self, organization: OrganizationId, state: &UserState) -> Result<(), Error> {
        let Ok(facts) = state.facts() else { return Ok(()) };
        let alias = facts.details.login_alias.0;
        match self.vault.assign_alias(organization, AliasKind::Login, alias, facts.person).await {
            Ok(()) | Err(VaultError::PersonErased(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn create_named_user(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        person: PersonId,
        login_alias: AliasId,
        input: &NewUser,
    ) -> Result<Outcome<User>, Error> {
        let details = self.user_details(organization, user, person, login_alias, input)?;
        let unit_living = self.is_living(organization, input.unit)?;
        let create = CreateUser { organization, user, person, details, unit_living };
        let unit = input.unit;
        let task = self
            .begin::<User>(request, Some(organization), user, Operation::CreateUser, Presence::Optional, move |_| {
                new_user_resource(organization, unit)
            })
            .await?;
        self.finish_grant(task, &create.into()).await
    }

    /// Lets go of those of these logins that the account does not have.
    async fn release_logins(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        logins: impl IntoIterator<Item = AliasId>,
    ) -> Result<(), Error> {
        let loaded = self.load_own::<User>(Some(organization), &User::stream(user))?;
        let its = loaded.state.facts().ok().map(|facts| facts.details.login_alias);
        for login in logins.into_iter().filter(|login| its != Some(*login)) {
            let name = ReservationId::Login(organization, login);
            self.release(request, Some(organization), name, Holder::User(user)).await?;
        }
        Ok(())
    }

    /// Refuses an external id of somebody who has an account, to whoever may not change that account: as the same person one
    /// takes over their place in a session. `making` is the account that the request makes, perhaps for the second time.
    pub(crate) async fn check_external_id(
        &self,
        request: &Request,
        organization: OrganizationId,
        external_id: Option<&str>,
        making: Option<UserId>,
    ) -> Result<(), Error> {
        let Some(id) = external_id else { return Ok(()) };
        let known = self.vault.find_person(organization, AliasKind::ExternalId, id.trim())?;
        let Some(person) = known else { return Ok(()) };
        self.all_known().await?;
        let own = match request.actor {
            Actor::User { user, .. } => Some(user),
            Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
        };
        for user in self.lookups.accounts_of(organization, person)? {
            if [own, making].contains(&Some(user)) {
                continue;
            }
            let resource = user_resource(organization, user, &self.user_state(organization, user)?);
            if !self.allows(request, Operation::UpdateUser, &resource).await {
                return Err(Error::Rejected {
                    code: "EXTERNAL_ID_TAKEN",
                    field: Some("externalId".into()),
                    message: "Somebody with this external id has an account that you may not change.".into(),
                });
            }
        }
        Ok(())
    }

    /// The person with this external id, or a new one.
    pub(crate) async fn person_for(
        &self,
        organization: OrganizationId,
        external_id: Option<&str>,
        fresh: PersonId,
    ) -> Result<PersonId, Error> {
        match external_id {
            Some(id) => Ok(self.vault.person(organization, AliasKind::ExternalId, id.trim(), fresh).await?),
            None => {
                self.vault.create_person(organization, fresh).await?;
                Ok(fresh)
            }
        }
    }

    async fn login_alias(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        person: PersonId,
        login: &str,
    ) -> Result<AliasId, Error> {
        let fresh = self.id_for(request, &format!("login alias of {user}"));
        let key = text::login_key(login);
        let alias = self.vault.alias(organization, AliasKind::Login, &key, person, fresh).await?;
        Ok(AliasId(alias.id))
    }

    fn user_details(
        &self,
        organization: OrganizationId,
        user: UserId,
        person: PersonId,
        login_alias: AliasId,
        input: &NewUser,
    ) -> Result<UserDetails, Error> {
        let stream = User::stream(user);
        let protect = |field: &'static str, spelling: &str, value: &str| {
            let text = Text::required(spelling, value, text::EMAIL_BYTES_MAX)?;
            self.protect(organization, person, &stream, field, text)
        };
        let external_id = input.external_id.as_deref();
        Ok(UserDetails {
            login_alias,
            login: protect("login", "login", &input.login)?,
            name: protect("name", "name", &input.name)?,
            email: input.email.as_deref().map(|email| protect("email", "email", email)).transpose()?,
            external_id: external_id.map(|id| protect("external_id", "externalId", id)).transpose()?,
            unit: input.unit,
        })
    }

    /// Replaces an account's data. An external id stays what it was: it says which person this is.
    pub async fn update_user(&self, request: &Request, user: UserId, input: &NewUser) -> Result<Outcome<User>, Error> {
        let organization = request.organization()?;
        let state = self.user_state(organization, user)?;
        if let Some(outcome) = self.answered::<User>(request, organization, user, Operation::UpdateUser)? {
            self.own_login(organization, &outcome.state).await?;
            return Ok(outcome);
        }
        let resource = user_resource(organization, user, &state);
        self.authorise(request, Operation::UpdateUser, &resource).await?;
        self.check_user(input)?;
        let facts = state.facts().map_err(Error::rejected)?.clone();
        if let Some(unit) = input.unit.filter(|unit| facts.details.unit != Some(*unit)) {
            self.authorise(request, Operation::CreateUser, &new_user_resource(organization, Some(unit))).await?;
        }
        let alias = self.login_alias(request, organization, user, facts.person, &input.login).await?;
        let renamed = alias != facts.details.login_alias;
        if renamed {
            let name = ReservationId::Login(organization, alias);
            self.reserve(request, Some(organization), name, Holder::User(user)).await?;
        }
        let result = self.update_user_named(request, user, facts.person, alias, input).await;
        if renamed {
            if let Ok(outcome) = &result {
                self.own_login(organization, &outcome.state).await?;
            }
            let logins = [facts.details.login_alias, alias];
            // The alias goes first: once the name is free, the same alias may be another's.
            match self.release_aliases(organization, user, logins).await {
                Ok(()) => cleaned_up(self.release_logins(request, organization, user, logins).await),
                error => cleaned_up(error),
            }
        }
        result
    }

    /// What was looked up by a login that is nobody's now: the next who takes that login gets another alias.
    async fn release_aliases(
        &self,
        organization: OrganizationId,
        user: UserId,
        logins: impl IntoIterator<Item = AliasId>,
    ) -> Result<(), Error> {
        let its = self.user_state(organization, user)?.facts().ok().map(|facts| facts.details.login_alias);
        for login in logins.into_iter().filter(|login| its != Some(*login)) {
            self.vault.release_alias(organization, AliasKind::Login, login.0).await?;
        }
        Ok(())
    }

    async fn update_user_named(
        &self,
        request: &Request,
        user: UserId,
        person: PersonId,
        alias: AliasId,
        input: &NewUser,
    ) -> Result<Outcome<User>, Error> {
        let organization = request.organization()?;
        let task = self.begin_user(request, user, Operation::UpdateUser).await?;
        let mut details = self.user_details(organization, user, person, alias, input)?;
        details.external_id = task.state().facts().map_err(Error::rejected)?.details.external_id.clone();
        let unit_living = self.is_living(organization, input.unit)?;
        let person_erased = self.is_person_erased(task.state())?;
        self.finish_grant(task, &UpdateUser { details, unit_living, person_erased }.into()).await
    }

    pub async fn deactivate_user(&self, request: &Request, user: UserId) -> Result<Outcome<User>, Error> {
        let organization = request.organization()?;
        let task = self.begin_user(request, user, Operation::DeactivateUser).await?;
        let owner = self.is_owner(organization, user)?;
        self.finish_grant(task, &DeactivateUser { owner }.into()).await
    }

    pub(crate) fn is_owner(&self, organization: OrganizationId, user: UserId) -> Result<bool, Error> {
        Ok(self.organization_state(organization)?.facts().is_ok_and(|facts| facts.owners.contains_key(&user)))
    }

    pub async fn reactivate_user(&self, request: &Request, user: UserId) -> Result<Outcome<User>, Error> {
        let task = self.begin_user(request, user, Operation::ReactivateUser).await?;
        let person_erased = self.is_person_erased(task.state())?;
        self.finish_grant(task, &ReactivateUser { person_erased }.into()).await
    }

    /// Whether the account is one of nobody any more.
    pub(crate) fn is_person_erased(&self, state: &UserState) -> Result<bool, Error> {
        let Ok(facts) = state.facts() else { return Ok(false) };
        self.is_erased(facts.organization, facts.person)
    }

    /// Gives a role. Who owns the organization is its own to say, so that it never runs out of owners.
    pub async fn grant_role(
        &self,
        request: &Request,
        user: UserId,
        role: AccountRole,
        scope: RoleScope,
        expires_at: Option<Timestamp>,
    ) -> Result<RoleOutcome, Error> {
        let organization = request.organization()?;
        if role == AccountRole::Owner {
            let task = self.begin_owner(request, Operation::GrantRole, user).await?;
            let user_active = self.user_state(organization, user)?.is_active();
            let command = GrantOwner { user, user_active };
            let outcome = self.finish_grant(task, &command.into()).await?;
            return Ok(RoleOutcome::Organization(Box::new(outcome)));
        }
        let task = self.begin_role(request, user, Operation::GrantRole, role, scope).await?;
        let unit_living = self.is_living(organization, scope_unit(scope))?;
        let person_erased = self.is_person_erased(task.state())?;
        let command = GrantRole { role, scope, expires_at, unit_living, person_erased, now: task.now() };
        Ok(RoleOutcome::User(Box::new(self.finish_grant(task, &command.into()).await?)))
    }

    pub async fn revoke_role(
        &self,
        request: &Request,
        user: UserId,
        role: AccountRole,
        scope: RoleScope,
    ) -> Result<RoleOutcome, Error> {
        if role == AccountRole::Owner {
            let task = self.begin_owner(request, Operation::RevokeRole, user).await?;
            let outcome = self.finish_grant(task, &RevokeOwner { user }.into()).await?;
            return Ok(RoleOutcome::Organization(Box::new(outcome)));
        }
        let task = self.begin_role(request, user, Operation::RevokeRole, role, scope).await?;
        Ok(RoleOutcome::User(Box::new(self.finish_grant(task, &RevokeRole { role, scope }.into()).await?)))
    }

    async fn begin_owner<'a>(
        &'a self,
        request: &'a Request,
        operation: Operation,
        user: UserId,
    ) -> Result<Task<'a, Organization>, Error> {
        let organization = request.organization()?;
        self.begin::<Organization>(request, Some(organization), organization, operation, ORGANIZATION, move |_| {
            role_resource(organization, user, AccountRole::Owner, RoleScope::Organization)
        })
        .await
    }

    async fn begin_role<'a>(
        &'a self,
        request: &'a Request,
        user: UserId,
        operation: Operation,
        role: AccountRole,
        scope: RoleScope,
    ) -> Result<Task<'a, User>, Error> {
        let organization = request.organization()?;
        let presence = Presence::NeededOnceAllowed("user");
        self.begin::<User>(request, Some(organization), user, operation, presence, move |_| {
            role_resource(organization, user, role, scope)
        })
        .await
    }

    pub(crate) fn user_state(&self, organization: OrganizationId, user: UserId) -> Result<UserState, Error> {
        let loaded = self.load_own::<User>(Some(organization), &User::stream(user))?;
        if loaded.version.is_none() {
            return Err(Error::NotFound { what: "user" });
        }
        Ok(loaded.state.clone())
    }

    fn is_living(&self, organization: OrganizationId, unit: Option<UnitId>) -> Result<bool, Error> {
        unit.map_or(Ok(true), |unit| Ok(self.units_state(organization)?.is_living(unit)))
    }
}

fn scope_unit(scope: RoleScope) -> Option<UnitId> {
    match scope {
        RoleScope::Organization => None,
        RoleScope::Unit(unit) => Some(unit),
    }
}
