//! Names that only one thing may have: reserved before it is recorded, released when it is not.

use witan_auth::Operation;
use witan_domain::{
    OrganizationId,
    reservation::{Holder, ReleaseName, Reservation, ReservationCommand, ReservationId, ReserveName},
};

use crate::{App, Error, Request, execute::Presence, history::organization_resource};

impl App {
    pub(crate) async fn reserve(
        &self,
        request: &Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
        holder: Holder,
    ) -> Result<(), Error> {
        self.reservation(request, organization, name, ReserveName { holder }.into()).await
    }

    pub(crate) async fn release(
        &self,
        request: &Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
        holder: Holder,
    ) -> Result<(), Error> {
        self.reservation(request, organization, name, ReleaseName { holder }.into()).await
    }

    /// A step of a process that was authorised as a whole, so it is witan itself that takes it. It has no idempotency
    /// key: reserving and releasing find themselves done.
    async fn reservation(
        &self,
        request: &Request,
        organization: Option<OrganizationId>,
        name: ReservationId,
        command: ReservationCommand,
    ) -> Result<(), Error> {
        let request = Request::system(request.correlation, request.causation);
        let resource = organization.map(organization_resource).unwrap_or_default();
        let task = self
            .begin::<Reservation>(&request, organization, name, Operation::CreateRoom, Presence::Optional, move |_| {
                resource.clone()
            })
            .await?;
        task.finish(&command).await.map(|_| ())
    }
}
