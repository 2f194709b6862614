//! Rooms: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object};
use witan_app::{Error, Outcome, Request, history::organization_resource, rooms::room_resource};
use witan_auth::{Operation, Resource};
use witan_domain::{
    RoomId, UnitId, UserId,
    room::{Room as DomainRoom, RoomFacts, RoomKind as DomainKind, RoomStatus as DomainStatus},
};
use witan_projections::{rooms::RoomRow, sessions::SessionList};

use crate::{
    call::{Call, id, stored},
    connection::{PageInput, connection, edges, visible},
    invitation::InvitationConnection,
    mutation::{inputs, patch, patched, payloads},
    policies::{EffectivePolicies, LevelPolicies, LevelPoliciesInput},
    refusal,
    room_people::RoomPerson,
    scalars::{DateTime, IntoId, Position},
    session::{Session, SessionConnection},
    settings::{EffectiveSettings, LevelSettings, LevelSettingsInput, Purpose},
    unit::Unit,
    user::User,
};

/// How long a room is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainKind")]
pub enum RoomKind {
    /// For good.
    Lasting,
    /// For one ad-hoc session: in no list, and archived when that has ended.
    AdHoc,
}

/// Whether a room is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainStatus")]
pub enum RoomStatus {
    /// In use.
    Active,
    /// Out of use until it is enabled.
    Disabled,
    /// Out of use, for good.
    Archived,
}

/// A lasting place for sessions.
pub struct Room {
    row: Arc<RoomRow>,
    /// Whether the caller reads it by a right of their own, and not only because they are in a session of it.
    whole: bool,
}

connection!(
    /// A page of rooms.
    RoomConnection,
    RoomEdge,
    Room
);

impl Room {
    /// The room, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, room: RoomId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_room(organization, room))? else { return Ok(None) };
        call.authorise(Operation::ReadRoom, &room_resource(organization, &row.state)).await?;
        Ok(Some(Self { row, whole: true }))
    }

    /// The room of a session that the caller reads: guests too see which room they are in.
    pub async fn of_session(call: &Call<'_>, room: RoomId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_room(organization, room))? else { return Ok(None) };
        let resource = room_resource(organization, &row.state);
        let whole = call.allows(Operation::ReadRoom, &resource).await;
        let resource = Resource { grant: true, ..resource };
        let allowed = whole || call.allows(Operation::ReadRoom, &resource).await;
        Ok(allowed.then_some(Self { row, whole }))
    }

    /// The room, or none where the caller may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>, room: RoomId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_room(organization, room))? else { return Ok(None) };
        let resource = room_resource(organization, &row.state);
        Ok(call.allows(Operation::ReadRoom, &resource).await.then_some(Self { row, whole: true }))
    }

    fn facts(&self) -> async_graphql::Result<&RoomFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no room with this id."))
    }
}

/// A page of the rooms that the caller may read: all, or those of one unit. Hidden rooms are in no list.
pub async fn list_rooms(
    call: &Call<'_>,
    unit: Option<UnitId>,
    page: &PageInput,
) -> async_graphql::Result<RoomConnection> {
    let organization = call.organization()?;
    call.authorise(Operation::ListRooms, &organization_resource(organization)).await?;
    let page = page.page()?;
    let listed = stored(call.models().list_rooms(organization, unit, &page))?;
    let listed = visible(call, listed, Operation::ReadRoom, |row| room_resource(organization, &row.state)).await;
    let (edges, page_info) =
        edges(listed, &page, |row| row.map(|row| Room { row, whole: true }), |cursor, node| RoomEdge { cursor, node });
    Ok(RoomConnection { edges, page_info })
}

/// A lasting place for sessions.
#[Object]
impl Room {
    /// The room's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.room.into_id())
    }

    /// What it is called.
    async fn name(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.name.clone())
    }

    /// Its part of a URL, unique among the rooms of the unit.
    async fn slug(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.slug.to_string())
    }

    /// What it is like.
    async fn description(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.description.clone())
    }

    /// What it is for: this chooses a template of defaults.
    async fn purpose(&self) -> async_graphql::Result<Purpose> {
        Ok(self.facts()?.details.purpose.into())
    }

    /// How long it is there.
    async fn kind(&self) -> async_graphql::Result<RoomKind> {
        Ok(self.facts()?.kind.into())
    }

    /// Whether it is in use.
    async fn status(&self) -> async_graphql::Result<RoomStatus> {
        Ok(self.facts()?.status.into())
    }

    /// The id of the unit that it is of.
    async fn unit_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.unit.into_id())
    }

    /// The unit that it is of; null where it may not be read.
    async fn unit(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Unit>> {
        Unit::readable(&Call::query(ctx)?, self.facts()?.unit).await
    }

    /// The id of the user who owns it.
    async fn owner_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.details.owner.into_id())
    }

    /// The user who owns it; null where it may not be read.
    async fn owner(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::readable(&Call::query(ctx)?, self.facts()?.details.owner).await
    }

    /// Where its logo is.
    async fn logo_url(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.details.logo_url.clone())
    }

    /// Before this no session is opened.
    async fn not_before(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.facts()?.details.not_before.map(DateTime))
    }

    /// From this on no session is opened.
    async fn not_after(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.facts()?.details.not_after.map(DateTime))
    }

    /// The people whom it names: at most 500. Null for those who read the room only because they are in a session of it.
    async fn people(&self) -> async_graphql::Result<Option<Vec<RoomPerson>>> {
        if !self.whole {
            return Ok(None);
        }
        let people = self.facts()?.people.iter();
        let person =
            people.map(|(user, role)| RoomPerson { user_id: user.into_id(), role: (*role).into(), person: *user });
        Ok(Some(person.collect()))
    }

    /// What the room itself says of the settings.
    async fn settings(&self) -> async_graphql::Result<LevelSettings> {
        Ok((&self.facts()?.settings).into())
    }

    /// What the room itself says of the policies. Null for those who read the room only because they are in a session of it.
    async fn policies(&self) -> async_graphql::Result<Option<LevelPolicies>> {
        let facts = self.facts()?;
        Ok(self.whole.then(|| (&facts.policies).into()))
    }

    /// The settings in force in it, each with the level that it comes from.
    async fn effective_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<EffectiveSettings> {
        Ok((&stored(Call::query(ctx)?.models().room_settings(self.facts()?))?).into())
    }

    /// The policies in force in it, each with the level that it comes from. Null for those who read the room only because
    /// they are in a session of it.
    async fn effective_policies(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<EffectivePolicies>> {
        if !self.whole {
            return Ok(None);
        }
        Ok(Some((&stored(Call::query(ctx)?.models().room_policies(self.facts()?))?).into()))
    }

    /// The id of its live session; null where there is none.
    async fn live_session_id(&self) -> async_graphql::Result<Option<ID>> {
        Ok(self.facts()?.live_session.map(IntoId::into_id))
    }

    /// Its live session; null where there is none, or it may not be read.
    async fn live_session(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Session>> {
        let Some(session) = self.facts()?.live_session else { return Ok(None) };
        crate::session::readable(&Call::query(ctx)?, session).await
    }

    /// Its sessions that the caller may read, in the order they were opened.
    /// Null, with an error, for those who may not list them.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<SessionConnection>> {
        let call = Call::query(ctx)?;
        call.authorise(Operation::ListSessions, &organization_resource(call.organization()?)).await?;
        let list = SessionList::OfRoom(self.facts()?.room);
        crate::session::list(&call, list, &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// Its invitations that the caller may read, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn invitations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<InvitationConnection>> {
        let page = PageInput::new(first, after, last, before);
        crate::invitation::list_invitations(&Call::query(ctx)?, &self.row, &page).await.map(Some)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of its stream, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.row.version
    }
}

inputs! {
    /// Makes a room.
    new CreateRoomInput {
        /// The unit that it is to be of.
        unit_id: ID,
        /// What it is called: 1 to 200 characters.
        name: String,
        /// Its part of a URL, unique among the rooms of the unit: 1 to 63 lower-case ASCII letters, digits and `-` between
        /// them.
        slug: String,
        /// What it is like: at most 2,000 characters.
        #[graphql(default)]
        description: String,
        /// What it is for: this chooses a template of defaults.
        purpose: Purpose,
        /// The user who is to own it; the caller when absent.
        owner_id: Option<ID>,
        /// Where its logo is: an https URL of at most 2,048 bytes.
        logo_url: Option<String>,
        /// Before this no session is opened.
        not_before: Option<DateTime>,
        /// From this on no session is opened.
        not_after: Option<DateTime>,
    }
    /// Changes what a room says of itself. What is absent stays; null takes away what may be missing.
    change UpdateRoomInput {
        /// The room.
        room_id: ID,
        /// What it is called: 1 to 200 characters.
        name: Option<String>,
        /// Its part of a URL, unique among the rooms of the unit: 1 to 63 lower-case ASCII letters, digits and `-` between
        /// them.
        slug: Option<String>,
        /// What it is like: at most 2,000 characters.
        description: Option<String>,
        /// What it is for: this chooses a template of defaults.
        purpose: Option<Purpose>,
        /// The user who is to own it.
        owner_id: Option<ID>,
        /// Where its logo is: an https URL of at most 2,048 bytes.
        logo_url: MaybeUndefined<String>,
        /// Before this no session is opened.
        not_before: MaybeUndefined<DateTime>,
        /// From this on no session is opened.
        not_after: MaybeUndefined<DateTime>,
    }
    /// Says anew what holds in a room.
    change SetRoomSettingsInput {
        /// The room.
        room_id: ID,
        /// The settings, in place of all that the room said before.
        settings: LevelSettingsInput,
    }
    /// Says anew who may do what in a room.
    change SetRoomPoliciesInput {
        /// The room.
        room_id: ID,
        /// The policies, in place of all that the room said before.
        policies: LevelPoliciesInput,
    }
    /// A command to a room as a whole.
    change RoomInput {
        /// The room.
        room_id: ID,
    }
}

payloads! {
    /// What a mutation of a room answers.
    RoomPayload {
        /// The room after it; null when nothing was done, or it may not be read.
        room: Room,
    }
}

/// Queries of rooms.
#[derive(Default)]
pub struct RoomQuery;

#[Object]
impl RoomQuery {
    /// A room of the caller's organization; null when there is none with this id.
    async fn room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The room's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Room>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        Room::find(&call, crate::call::id("id", &id)?).await
    }
}

/// Mutations of rooms.
#[derive(Default)]
pub struct RoomMutation;

#[Object]
impl RoomMutation {
    /// Makes a room in a unit.
    async fn create_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateRoomInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let details = witan_app::rooms::RoomInput {
            name: input.name,
            slug: input.slug,
            description: input.description,
            purpose: input.purpose.into(),
            owner: input.owner_id.as_ref().map(|owner| id("ownerId", owner)).transpose()?,
            logo_url: input.logo_url,
            not_before: input.not_before.map(|DateTime(time)| time),
            not_after: input.not_after.map(|DateTime(time)| time),
        };
        let result = call.app().create_room(&call.request, unit, &details).await;
        let (created, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let room = match created {
            Some((room, _)) => Room::readable(&call, room).await?,
            None => None,
        };
        Ok(RoomPayload::new(room, told))
    }

    /// Changes what a room says of itself.
    async fn update_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room, and what is to change.")] input: UpdateRoomInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let owner = input.owner_id.as_ref().map(|owner| id("ownerId", owner)).transpose()?;
        let app = call.app();
        let patch = || patched_room(&call, room, owner, &input);
        let apply = |request: Request, input| async move { app.update_room(&request, room, &input).await };
        room_payload(&call, room, patched(&call, patch, apply).await).await
    }

    /// Says anew what holds in a room; what a level above has locked is refused.
    async fn set_room_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room, and the settings.")] input: SetRoomSettingsInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let settings = input.settings.into_domain()?;
        room_payload(&call, room, call.app().set_room_settings(&call.request, room, settings).await).await
    }

    /// Says anew who may do what in a room; what is looser than a floor above is refused.
    async fn set_room_policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room, and the policies.")] input: SetRoomPoliciesInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let policies = input.policies.into_app()?;
        room_payload(&call, room, call.app().set_room_policies(&call.request, room, policies).await).await
    }

    /// Takes a room out of use: no new sessions; a live one ends.
    async fn disable_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room.")] input: RoomInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        room_payload(&call, room, call.app().disable_room(&call.request, room).await).await
    }

    /// Takes a room into use again.
    async fn enable_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room.")] input: RoomInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        room_payload(&call, room, call.app().enable_room(&call.request, room).await).await
    }

    /// Takes a room out of use, for good; its slug is free again.
    async fn archive_room(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which room.")] input: RoomInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        room_payload(&call, room, call.app().archive_room(&call.request, room).await).await
    }
}

fn patched_room(
    call: &Call<'_>,
    room: RoomId,
    owner: Option<UserId>,
    input: &UpdateRoomInput,
) -> Result<(witan_app::rooms::RoomInput, Option<u64>), Error> {
    let (state, version) = call.app().current::<DomainRoom>(call.request.organization()?, room)?;
    let Ok(facts) = state.facts() else { return Err(Error::NotFound { what: "room" }) };
    let now = facts.details.clone();
    let times = |wanted: &MaybeUndefined<DateTime>| wanted.map_value(|DateTime(time)| time);
    let details = witan_app::rooms::RoomInput {
        name: input.name.clone().unwrap_or(now.name),
        slug: input.slug.clone().unwrap_or_else(|| now.slug.to_string()),
        description: input.description.clone().unwrap_or(now.description),
        purpose: input.purpose.map_or(now.purpose, Into::into),
        owner: owner.or(Some(now.owner)),
        logo_url: patch(input.logo_url.clone(), now.logo_url),
        not_before: patch(times(&input.not_before), now.not_before),
        not_after: patch(times(&input.not_after), now.not_after),
    };
    Ok((details, version))
}

pub async fn room_payload(
    call: &Call<'_>,
    room: RoomId,
    result: Result<Outcome<DomainRoom>, Error>,
) -> async_graphql::Result<RoomPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let room = match done {
        Some(_) => Room::readable(call, room).await?,
        None => None,
    };
    Ok(RoomPayload::new(room, told))
}
