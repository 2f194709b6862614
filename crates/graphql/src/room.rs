//! Rooms and the invitations to them: what is shown of them, and what one may ask.

use async_graphql::{ComplexObject, Context, Enum, ID, MaybeUndefined, Object, SimpleObject};
use witan_app::{
    Error, Outcome, Request, history::organization_resource, invitations::InvitationInput, rooms::room_resource,
};
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, InvitationId, RoomId, UnitId, UserId,
    invitation::{Invitation as DomainInvitation, InvitationFacts, InvitationStatus as DomainInvitationStatus},
    room::{Room as DomainRoom, RoomFacts, RoomKind as DomainKind, RoomStatus as DomainStatus},
};
use witan_projections::{
    rooms::{InvitationRow, RoomRow},
    sessions::SessionList,
};

use crate::{
    call::{Call, PrivateText, id, stored},
    connection::{PageInput, connection, edges, visible},
    organization::{Unit, inputs, patch, patched, payloads},
    refusal,
    scalars::{DateTime, Position},
    session::{IntoId, JoinTokenPayload, Session, SessionConnection, SessionRole},
    settings::{
        EffectivePolicies, EffectiveSettings, LevelPolicies, LevelPoliciesInput, LevelSettings, LevelSettingsInput,
        Purpose,
    },
    user::User,
};

/// How long a room is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainKind")]
pub enum RoomKind {
    /// For good.
    Lasting,
    /// Hidden, made for the ad-hoc sessions of a unit.
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

/// Someone whom a room names, with a role in its sessions.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct RoomPerson {
    /// The user's id.
    user_id: ID,
    /// What they are in the room's sessions.
    role: SessionRole,
    #[graphql(skip)]
    person: UserId,
}

/// Someone whom a room names, with a role in its sessions.
#[ComplexObject]
impl RoomPerson {
    /// The user; null where it may not be read.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::readable(&Call::query(ctx)?, self.person).await
    }
}

/// A lasting place for sessions.
pub struct Room {
    row: RoomRow,
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
        Ok(Some(Self { row }))
    }

    /// The room of a session that the caller reads: guests too see which room they are in.
    pub async fn of_session(call: &Call<'_>, room: RoomId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_room(organization, room))? else { return Ok(None) };
        let resource = Resource { grant: true, ..room_resource(organization, &row.state) };
        Ok(call.allows(Operation::ReadRoom, &resource).await.then_some(Self { row }))
    }

    /// The room, or none where the caller may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>, room: RoomId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_room(organization, room))? else { return Ok(None) };
        let resource = room_resource(organization, &row.state);
        Ok(call.allows(Operation::ReadRoom, &resource).await.then_some(Self { row }))
    }

    fn facts(&self) -> async_graphql::Result<&RoomFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no room with this id."))
    }
}

/// A page of the rooms that the caller may read: all, or those of one unit.
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
        edges(listed, &page, |row| row.map(|row| Room { row }), |cursor, node| RoomEdge { cursor, node });
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

    /// The people whom it names: at most 500.
    async fn people(&self) -> async_graphql::Result<Vec<RoomPerson>> {
        let people = self.facts()?.people.iter();
        let person =
            people.map(|(user, role)| RoomPerson { user_id: user.into_id(), role: (*role).into(), person: *user });
        Ok(person.collect())
    }

    /// What the room itself says of the settings.
    async fn settings(&self) -> async_graphql::Result<LevelSettings> {
        Ok((&self.facts()?.settings).into())
    }

    /// What the room itself says of the policies.
    async fn policies(&self) -> async_graphql::Result<LevelPolicies> {
        Ok((&self.facts()?.policies).into())
    }

    /// The settings in force in it, each with the level that it comes from.
    async fn effective_settings(&self, ctx: &Context<'_>) -> async_graphql::Result<EffectiveSettings> {
        Ok((&stored(Call::query(ctx)?.models().room_settings(self.facts()?))?).into())
    }

    /// The policies in force in it, each with the level that it comes from.
    async fn effective_policies(&self, ctx: &Context<'_>) -> async_graphql::Result<EffectivePolicies> {
        Ok((&stored(Call::query(ctx)?.models().room_policies(self.facts()?))?).into())
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
        let call = Call::query(ctx)?;
        let organization = call.organization()?;
        let of_room = room_resource(organization, &self.row.state);
        call.authorise(Operation::ListInvitations, &of_room).await?;
        let page = PageInput::new(first, after, last, before).page()?;
        let listed = stored(call.models().list_invitations(organization, self.facts()?.room, &page))?;
        let resource = |row: &InvitationRow| {
            let id = row.state.facts().map_or_else(|_| String::new(), |facts| facts.invitation.to_string());
            Resource { kind: ResourceKind::Invitation, id, ..of_room.clone() }
        };
        let listed = visible(&call, listed, Operation::ReadInvitation, resource).await;
        let node = |row: Option<InvitationRow>| row.map(|row| Invitation { row });
        let (edges, page_info) = edges(listed, &page, node, |cursor, node| InvitationEdge { cursor, node });
        Ok(Some(InvitationConnection { edges, page_info }))
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

/// Whether an invitation is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum InvitationStatus {
    /// Good in its window.
    Active,
    /// Its window is closed.
    Over,
    /// Taken back.
    Revoked,
}

/// One person's invitation to one room. Its secret was shown once, when it was made.
pub struct Invitation {
    row: InvitationRow,
}

connection!(
    /// A page of invitations.
    InvitationConnection,
    InvitationEdge,
    Invitation
);

impl Invitation {
    /// The invitation, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, invitation: InvitationId) -> async_graphql::Result<Option<Self>> {
        let Some((row, resource)) = Self::row(call, invitation)? else { return Ok(None) };
        call.authorise(Operation::ReadInvitation, &resource).await?;
        Ok(Some(Self { row }))
    }

    /// The invitation, or none where the caller may not read it: to show beside something else.
    async fn readable(call: &Call<'_>, invitation: InvitationId) -> async_graphql::Result<Option<Self>> {
        let Some((row, resource)) = Self::row(call, invitation)? else { return Ok(None) };
        Ok(call.allows(Operation::ReadInvitation, &resource).await.then_some(Self { row }))
    }

    /// An invitation with what is asked of it: the room that it is to decides.
    fn row(call: &Call<'_>, invitation: InvitationId) -> async_graphql::Result<Option<(InvitationRow, Resource)>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_invitation(organization, invitation))? else { return Ok(None) };
        let Ok(facts) = row.state.facts() else { return Ok(None) };
        let Some(room) = stored(call.models().find_room(organization, facts.room))? else { return Ok(None) };
        let of_room = room_resource(organization, &room.state);
        let resource = Resource { kind: ResourceKind::Invitation, id: invitation.to_string(), ..of_room };
        Ok(Some((row, resource)))
    }

    fn facts(&self) -> async_graphql::Result<&InvitationFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no invitation with this id."))
    }

    fn stream(&self) -> async_graphql::Result<String> {
        Ok(DomainInvitation::stream(self.facts()?.invitation))
    }
}

/// One person's invitation to one room. Its secret was shown once, when it was made.
#[Object]
impl Invitation {
    /// The invitation's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.invitation.into_id())
    }

    /// The id of the room that it is to.
    async fn room_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.room.into_id())
    }

    /// The room that it is to; null where it may not be read.
    async fn room(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Room>> {
        Room::readable(&Call::query(ctx)?, self.facts()?.room).await
    }

    /// The id of the person who is invited: what `erasePerson` takes.
    async fn person_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.details.person.into_id())
    }

    /// What the person is called.
    async fn display_name(&self, ctx: &Context<'_>) -> async_graphql::Result<PrivateText> {
        Call::query(ctx)?.reveal(&self.stream()?, "display_name", &self.facts()?.details.display_name)
    }

    /// The person's e-mail address.
    async fn email(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        let email = self.facts()?.details.email.as_ref();
        Call::query(ctx)?.reveal_optional(&self.stream()?, "email", email)
    }

    /// The person's id in a system of the organization.
    async fn external_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        let external_id = self.facts()?.details.external_id.as_ref();
        Call::query(ctx)?.reveal_optional(&self.stream()?, "external_id", external_id)
    }

    /// What the person is to be in the room's sessions.
    async fn role(&self) -> async_graphql::Result<SessionRole> {
        Ok(self.facts()?.details.role.into())
    }

    /// When its window opens; it can be exchanged up to 15 minutes before.
    async fn not_before(&self) -> async_graphql::Result<DateTime> {
        Ok(DateTime(self.facts()?.details.not_before))
    }

    /// When its window closes.
    async fn not_after(&self) -> async_graphql::Result<DateTime> {
        Ok(DateTime(self.facts()?.details.not_after))
    }

    /// How often it was exchanged for a join token: at most 1,000 times.
    async fn exchanges(&self) -> async_graphql::Result<u32> {
        Ok(self.facts()?.exchanges)
    }

    /// Whether it is good.
    async fn status(&self, ctx: &Context<'_>) -> async_graphql::Result<InvitationStatus> {
        let facts = self.facts()?;
        let now = Call::query(ctx)?.app().sources().now();
        Ok(match facts.status {
            DomainInvitationStatus::Revoked => InvitationStatus::Revoked,
            DomainInvitationStatus::Active if facts.details.not_after <= now => InvitationStatus::Over,
            DomainInvitationStatus::Active => InvitationStatus::Active,
        })
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
    /// Names a user for a role in a room's sessions, or for another role.
    change AddRoomPersonInput {
        /// The room.
        room_id: ID,
        /// The user: an active one.
        user_id: ID,
        /// What they are to be in the room's sessions.
        role: SessionRole,
    }
    /// Names a user no more.
    change RemoveRoomPersonInput {
        /// The room.
        room_id: ID,
        /// The user.
        user_id: ID,
    }
    /// A command to a room as a whole.
    change RoomInput {
        /// The room.
        room_id: ID,
    }
    /// Invites one person to a room.
    new CreateInvitationInput {
        /// The room.
        room_id: ID,
        /// What the person is called: 1 to 200 characters, protected.
        display_name: String,
        /// The person's e-mail address: at most 254 bytes, protected.
        email: Option<String>,
        /// The person's id in a system of the organization: at most 200 characters, protected. The same id is the same
        /// person.
        external_id: Option<String>,
        /// What the person is to be in the room's sessions.
        role: SessionRole,
        /// When its window opens; now when absent. It can be exchanged up to 15 minutes before.
        not_before: Option<DateTime>,
        /// When its window closes: in the future, at most 366 days after it opens.
        not_after: DateTime,
    }
    /// Takes an invitation back.
    change RevokeInvitationInput {
        /// The invitation.
        invitation_id: ID,
    }
    /// Exchanges an invitation for a join token.
    new ExchangeInvitationInput {
        /// The invitation.
        invitation_id: ID,
        /// The secret that `createInvitation` answered.
        secret: String,
    }
}

payloads! {
    /// What a mutation of a room answers.
    RoomPayload {
        /// The room after it; null when nothing was done, or it may not be read.
        room: Room,
    }
    /// What a mutation of an invitation answers.
    InvitationPayload {
        /// The invitation after it; null when nothing was done, or it may not be read.
        invitation: Invitation,
    }
    /// What making an invitation answers.
    CreateInvitationPayload {
        /// The new invitation; null when nothing was done, or it may not be read.
        invitation: Invitation,
        /// The secret that `exchangeInvitation` takes with the invitation's id. Shown this once.
        secret: String,
    }
}

/// Queries of rooms and invitations.
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

    /// An invitation of the caller's organization; null when there is none with this id.
    async fn invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The invitation's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Invitation>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        Invitation::find(&call, crate::call::id("id", &id)?).await
    }
}

/// Mutations of rooms and invitations.
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
        let policies = input.policies.into_domain()?;
        room_payload(&call, room, call.app().set_room_policies(&call.request, room, policies).await).await
    }

    /// Names a user for a role in a room's sessions, or for another role.
    async fn add_room_person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, where, and as what.")] input: AddRoomPersonInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let (room, user) = (id("roomId", &input.room_id)?, id("userId", &input.user_id)?);
        let result = call.app().add_room_person(&call.request, room, user, input.role.into()).await;
        room_payload(&call, room, result).await
    }

    /// Names a user no more.
    async fn remove_room_person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and where.")] input: RemoveRoomPersonInput,
    ) -> async_graphql::Result<RoomPayload> {
        let call = Call::mutation(ctx)?;
        let (room, user) = (id("roomId", &input.room_id)?, id("userId", &input.user_id)?);
        room_payload(&call, room, call.app().remove_room_person(&call.request, room, user).await).await
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

    /// Invites one person to a room, with a secret that is shown this once.
    async fn create_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, where, as what, and when.")] input: CreateInvitationInput,
    ) -> async_graphql::Result<CreateInvitationPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let details = InvitationInput {
            display_name: input.display_name,
            email: input.email,
            external_id: input.external_id,
            role: input.role.into(),
            not_before: input.not_before.map_or_else(|| call.app().sources().now(), |DateTime(time)| time),
            not_after: input.not_after.0,
        };
        let result = call.app().create_invitation(&call.request, room, &details).await;
        let (created, told) = call.told(result, |created| created.outcome.position).await?;
        let Some(created) = created else { return Ok(CreateInvitationPayload::new(None, None, told)) };
        let invitation = Invitation::readable(&call, created.invitation).await?;
        Ok(CreateInvitationPayload::new(invitation, Some(created.secret), told))
    }

    /// Takes an invitation back: it is exchanged for nothing from now on.
    async fn revoke_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: RevokeInvitationInput,
    ) -> async_graphql::Result<InvitationPayload> {
        let call = Call::mutation(ctx)?;
        let invitation = id("invitationId", &input.invitation_id)?;
        let result = call.app().revoke_invitation(&call.request, invitation).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        let invitation = match done {
            Some(_) => Invitation::readable(&call, invitation).await?,
            None => None,
        };
        Ok(InvitationPayload::new(invitation, told))
    }

    /// Exchanges an invitation for a join token to the room's live session. Needs no account: the secret is the right.
    async fn exchange_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which invitation, and its secret.")] input: ExchangeInvitationInput,
    ) -> async_graphql::Result<JoinTokenPayload> {
        let call = Call::mutation(ctx)?;
        let invitation = id("invitationId", &input.invitation_id)?;
        let result = call.app().exchange_invitation(&call.request, invitation, &input.secret).await;
        let (ticket, told) = call.told(result, |_| None).await?;
        Ok(JoinTokenPayload::new(ticket, told))
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

async fn room_payload(
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
