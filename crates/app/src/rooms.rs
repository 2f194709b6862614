//! Rooms: made, described, restricted, closed. What holds in a room comes from the levels above it; `access.rs` brings
//! these together.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, OrganizationId, RoomId, SessionRole, Timestamp, UnitId, UserId,
    policy::PolicyLevel,
    reservation::{Holder, ReservationId},
    room::{
        AddRoomPerson, ArchiveRoom, CreateRoom, DisableRoom, EnableRoom, RemoveRoomPerson, Room, RoomDetails,
        RoomFacts, RoomState, SetRoomPolicies, SetRoomSettings, UpdateRoom,
    },
    settings::{Level, Purpose},
    text::Slug,
};

use crate::{
    App, Error, Outcome, Request,
    execute::{Presence, Task},
    policies::PoliciesInput,
    reservations::cleaned_up,
};

pub(crate) const ROOM: Presence = Presence::Needed("room");

/// A room's own data, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInput {
    pub name: String,
    pub slug: String,
    pub description: String,
    pub purpose: Purpose,
    /// The actor, where none is named.
    pub owner: Option<UserId>,
    pub logo_url: Option<String>,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}

/// What is asked of a room: its owner, its people and its policies count.
pub fn room_resource(organization: OrganizationId, state: &RoomState) -> Resource {
    let mut resource = Resource { kind: ResourceKind::Room, organization: Some(organization), ..Resource::default() };
    if let Ok(facts) = state.facts() {
        resource.unit = Some(facts.unit);
        resource.room = Some(facts.room);
        resource.id = facts.room.to_string();
    }
    resource
}

/// What is asked of a room that is not there yet.
fn new_room_resource(organization: OrganizationId, unit: UnitId) -> Resource {
    Resource {
        kind: ResourceKind::Room,
        organization: Some(organization),
        unit: Some(unit),
        id: unit.to_string(),
        ..Resource::default()
    }
}

impl App {
    pub(crate) async fn begin_room<'a>(
        &'a self,
        request: &'a Request,
        room: RoomId,
        operation: Operation,
    ) -> Result<Task<'a, Room>, Error> {
        let organization = request.organization()?;
        let resource = move |state: &RoomState| room_resource(organization, state);
        self.begin::<Room>(request, Some(organization), room, operation, ROOM, resource).await
    }

    fn room_details(&self, input: &RoomInput, owner: UserId) -> Result<RoomDetails, Error> {
        Ok(RoomDetails {
            name: input.name.clone(),
            slug: Slug::try_new(&input.slug).map_err(Error::rejected)?,
            description: input.description.clone(),
            purpose: input.purpose,
            owner,
            logo_url: input.logo_url.clone(),
            not_before: input.not_before,
            not_after: input.not_after,
        })
    }

    pub async fn create_room(
        &self,
        request: &Request,
        unit: UnitId,
        input: &RoomInput,
    ) -> Result<(RoomId, Outcome<Room>), Error> {
        let organization = request.organization()?;
        let room = RoomId(self.id_for(request, "room"));
        if let Some(outcome) = self.answered::<Room>(request, organization, room, Operation::CreateRoom)? {
            return Ok((room, outcome));
        }
        self.authorise(request, Operation::CreateRoom, &new_room_resource(organization, unit)).await?;
        let owner = input.owner.map_or_else(|| acting_user(request), Ok)?;
        let details = self.room_details(input, owner)?;
        let slug = details.slug;
        let unit_living = self.units_state(organization)?.is_living(unit);
        let owner_active = self.user_state(organization, owner)?.is_active();
        let (name, holder) = (ReservationId::RoomSlug(unit, slug), Holder::Room(room));
        self.reserve(request, Some(organization), name, holder).await?;
        let create = CreateRoom { organization, room, unit, unit_living, details, owner_active };
        let result = self.create_reserved_room(request, organization, create).await;
        if result.is_err() {
            cleaned_up(self.release_room_slugs(request, organization, room, [(unit, slug)]).await);
        }
        Ok((room, result?))
    }

    /// Lets go of those of these slugs that the room does not have.
    async fn release_room_slugs(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        slugs: impl IntoIterator<Item = (UnitId, Slug)>,
    ) -> Result<(), Error> {
        let loaded = self.load_own::<Room>(Some(organization), &Room::stream(room))?;
        let living = loaded.state.facts().ok().filter(|_| loaded.state.is_living());
        let its = living.map(|facts| (facts.unit, facts.details.slug));
        for (unit, slug) in slugs.into_iter().filter(|slug| its != Some(*slug)) {
            let name = ReservationId::RoomSlug(unit, slug);
            self.release(request, Some(organization), name, Holder::Room(room)).await?;
        }
        Ok(())
    }

    pub(crate) async fn create_reserved_room(
        &self,
        request: &Request,
        organization: OrganizationId,
        create: CreateRoom,
    ) -> Result<Outcome<Room>, Error> {
        let unit = create.unit;
        let task = self
            .begin::<Room>(
                request,
                Some(organization),
                create.room,
                Operation::CreateRoom,
                Presence::Optional,
                move |_| new_room_resource(organization, unit),
            )
            .await?;
        self.finish_grant(task, &create.into()).await
    }

    pub async fn update_room(
        &self,
        request: &Request,
        room: RoomId,
        input: &RoomInput,
    ) -> Result<Outcome<Room>, Error> {
        let organization = request.organization()?;
        let state = self.room_state(organization, room)?;
        if let Some(outcome) = self.answered::<Room>(request, organization, room, Operation::UpdateRoom)? {
            return Ok(outcome);
        }
        self.authorise(request, Operation::UpdateRoom, &room_resource(organization, &state)).await?;
        let facts = state.facts().map_err(Error::rejected)?.clone();
        let slug = Slug::try_new(&input.slug).map_err(Error::rejected)?;
        let renamed = slug != facts.details.slug;
        if renamed {
            let name = ReservationId::RoomSlug(facts.unit, slug);
            self.reserve(request, Some(organization), name, Holder::Room(room)).await?;
        }
        let result = self.update_reserved_room(request, room, &facts, input).await;
        if renamed {
            let slugs = [(facts.unit, facts.details.slug), (facts.unit, slug)];
            cleaned_up(self.release_room_slugs(request, organization, room, slugs).await);
        }
        result
    }

    async fn update_reserved_room(
        &self,
        request: &Request,
        room: RoomId,
        facts: &RoomFacts,
        input: &RoomInput,
    ) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::UpdateRoom).await?;
        let owner = input.owner.unwrap_or(facts.details.owner);
        let owner_active = self.user_state(facts.organization, owner)?.is_active();
        let details = self.room_details(input, owner)?;
        self.finish_grant(task, &UpdateRoom { details, owner_active }.into()).await
    }

    pub async fn set_room_settings(
        &self,
        request: &Request,
        room: RoomId,
        settings: Level,
    ) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::SetRoomSettings).await?;
        let locked_above = match task.state().facts() {
            Ok(facts) => self.levels_above(facts)?.settings(facts.details.purpose, &Level::default()).locked,
            Err(rejection) => return Err(Error::rejected(rejection)),
        };
        task.finish(&SetRoomSettings { settings, locked_above }.into()).await
    }

    pub async fn set_room_policies(
        &self,
        request: &Request,
        room: RoomId,
        policies: PoliciesInput,
    ) -> Result<Outcome<Room>, Error> {
        let operation = Operation::SetRoomPolicies;
        let organization = request.organization()?;
        if let Some(outcome) = self.answered::<Room>(request, organization, room, operation)? {
            return Ok(outcome);
        }
        if policies.has_new_password() {
            let state = self.room_state(organization, room)?;
            self.authorise(request, operation, &room_resource(organization, &state)).await?;
        }
        let hashed = self.hash_passwords(&room.to_string(), policies).await?;
        let task = self.begin_room(request, room, operation).await?;
        let facts = task.state().facts().map_err(Error::rejected)?;
        let floor_above = self.levels_above(facts)?.policies(facts.details.purpose, &PolicyLevel::default()).floor;
        let policies = hashed.over(&facts.policies)?;
        self.finish_grant(task, &SetRoomPolicies { policies, floor_above }.into()).await
    }

    pub async fn add_room_person(
        &self,
        request: &Request,
        room: RoomId,
        user: UserId,
        role: SessionRole,
    ) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::AddRoomPerson).await?;
        let user_active = self.user_state(request.organization()?, user)?.is_active();
        self.finish_grant(task, &AddRoomPerson { user, role, user_active }.into()).await
    }

    pub async fn remove_room_person(
        &self,
        request: &Request,
        room: RoomId,
        user: UserId,
    ) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::RemoveRoomPerson).await?;
        self.finish_grant(task, &RemoveRoomPerson { user }.into()).await
    }

    /// No new sessions; a live one ends.
    pub async fn disable_room(&self, request: &Request, room: RoomId) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::DisableRoom).await?;
        task.finish(&DisableRoom {}.into()).await
    }

    pub async fn enable_room(&self, request: &Request, room: RoomId) -> Result<Outcome<Room>, Error> {
        let task = self.begin_room(request, room, Operation::EnableRoom).await?;
        task.finish(&EnableRoom {}.into()).await
    }

    /// For good; its slug is free again.
    pub async fn archive_room(&self, request: &Request, room: RoomId) -> Result<Outcome<Room>, Error> {
        let organization = request.organization()?;
        let state = self.room_state(organization, room)?;
        if let Ok(facts) = state.facts()
            && facts.live_session.is_some()
        {
            self.authorise(request, Operation::ArchiveRoom, &room_resource(organization, &state)).await?;
            self.release_closed(request, facts).await?;
        }
        let task = self.begin_room(request, room, Operation::ArchiveRoom).await?;
        let outcome = task.finish(&ArchiveRoom {}.into()).await?;
        if let Ok(facts) = outcome.state.facts() {
            let slug = (facts.unit, facts.details.slug);
            cleaned_up(self.release_room_slugs(request, organization, room, [slug]).await);
        }
        Ok(outcome)
    }

    /// A room as its stream tells it now.
    pub(crate) fn room_state(&self, organization: OrganizationId, room: RoomId) -> Result<RoomState, Error> {
        let loaded = self.load_own::<Room>(Some(organization), &Room::stream(room))?;
        if loaded.version.is_none() {
            return Err(Error::NotFound { what: "room" });
        }
        Ok(loaded.state.clone())
    }
}

pub(crate) fn acting_user(request: &Request) -> Result<UserId, Error> {
    match request.actor {
        witan_domain::Actor::User { user, .. } => Ok(user),
        _ => Err(Error::invalid("ownerId", "ownerId is missing; expected the id of a user")),
    }
}
