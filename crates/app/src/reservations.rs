//! Names that only one thing may have: reserved before it is recorded, released when it is not.

use witan_auth::Operation;
use witan_domain::{
    Aggregate, OrganizationId,
    reservation::{Holder, ReleaseName, Reservation, ReservationId, ReservationState, ReserveName},
    room::Room,
    user::User,
};

use crate::{
    App, Error, Request,
    execute::{Presence, Task},
    history::organization_resource,
};

impl App {
    pub(crate) async fn reserve(
        &self,
        request: &Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
        holder: Holder,
    ) -> Result<(), Error> {
        let request = reserving(request);
        let task = self.begin_reservation(&request, organization, name).await?;
        let abandoned_by = match task.state() {
            ReservationState::Held { by, .. } if *by != holder && !self.bears(organization, *by, name)? => Some(*by),
            ReservationState::Held { .. } | ReservationState::Free => None,
        };
        let now = task.now();
        task.finish(&ReserveName { holder, abandoned_by, now }.into()).await.map(|_| ())
    }

    /// Whether the holder is there and has this name.
    fn bears(&self, organization: Option<OrganizationId>, holder: Holder, name: ReservationId) -> Result<bool, Error> {
        Ok(match (holder, name) {
            (Holder::Organization(holder), ReservationId::OrganizationSlug(slug)) => {
                self.organization_state(holder)?.facts().is_ok_and(|facts| facts.details.slug == slug)
            }
            (Holder::Room(room), ReservationId::RoomSlug(unit, slug)) => {
                let state = &self.load_own::<Room>(organization, &Room::stream(room))?.state;
                let has = |facts: &witan_domain::room::RoomFacts| facts.unit == unit && facts.details.slug == slug;
                state.is_living() && state.facts().is_ok_and(has)
            }
            (Holder::User(user), ReservationId::Login(_, alias)) => {
                let state = &self.load_own::<User>(organization, &User::stream(user))?.state;
                state.facts().is_ok_and(|facts| facts.details.login_alias == alias)
            }
            // A holder of another kind than its name's was never reserved for.
            (Holder::Organization(_) | Holder::Room(_) | Holder::User(_), _) => true,
        })
    }

    pub(crate) async fn release(
        &self,
        request: &Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
        holder: Holder,
    ) -> Result<(), Error> {
        let request = reserving(request);
        let task = self.begin_reservation(&request, organization, name).await?;
        task.finish(&ReleaseName { holder }.into()).await.map(|_| ())
    }

    async fn begin_reservation<'a>(
        &'a self,
        request: &'a Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
    ) -> Result<Task<'a, Reservation>, Error> {
        let resource = organization.map(organization_resource).unwrap_or_default();
        self.begin::<Reservation>(request, organization, name, Operation::CreateRoom, Presence::Optional, move |_| {
            resource.clone()
        })
        .await
    }
}

/// A step of a process that was authorised as a whole, so it is witan itself that takes it. It has no idempotency key:
/// reserving and releasing find themselves done.
fn reserving(request: &Request) -> Request {
    Request::system(request.correlation, request.causation)
}

/// What a process could not clean up behind itself is said in the log only: its caller is told of the process. A name
/// that stays reserved is taken over by the next who wants it.
pub(crate) fn cleaned_up(result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(error = crate::error::chain(&error), "a name could not be released: it is free in a minute");
    }
}
