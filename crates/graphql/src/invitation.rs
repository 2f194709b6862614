//! Invitations to rooms: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use witan_app::{invitations::InvitationInput, rooms::room_resource};
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, InvitationId,
    invitation::{Invitation as DomainInvitation, InvitationFacts, InvitationStatus as DomainInvitationStatus},
};
use witan_projections::rooms::{InvitationRow, RoomRow};

use crate::{
    call::{Call, PrivateText, id, stored},
    connection::{PageInput, connection, edges, visible},
    entry::JoinTokenPayload,
    mutation::{inputs, payloads},
    participant::SessionRole,
    refusal,
    room::Room,
    scalars::{DateTime, IntoId, Position},
};

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
    row: Arc<InvitationRow>,
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
    fn row(call: &Call<'_>, invitation: InvitationId) -> async_graphql::Result<Option<(Arc<InvitationRow>, Resource)>> {
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

/// A page of a room's invitations that the caller may read.
pub async fn list_invitations(
    call: &Call<'_>,
    room: &RoomRow,
    page: &PageInput,
) -> async_graphql::Result<InvitationConnection> {
    let organization = call.organization()?;
    let of_room = room_resource(organization, &room.state);
    call.authorise(Operation::ListInvitations, &of_room).await?;
    let page = page.page()?;
    let room = room.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no room with this id."))?.room;
    let listed = stored(call.models().list_invitations(organization, room, &page))?;
    let resource = |row: &Arc<InvitationRow>| {
        let id = row.state.facts().map_or_else(|_| String::new(), |facts| facts.invitation.to_string());
        Resource { kind: ResourceKind::Invitation, id, ..of_room.clone() }
    };
    let listed = visible(call, listed, Operation::ReadInvitation, resource).await;
    let node = |row: Option<Arc<InvitationRow>>| row.map(|row| Invitation { row });
    let (edges, page_info) = edges(listed, &page, node, |cursor, node| InvitationEdge { cursor, node });
    Ok(InvitationConnection { edges, page_info })
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

/// Queries of invitations.
#[derive(Default)]
pub struct InvitationQuery;

#[Object]
impl InvitationQuery {
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

/// Mutations of invitations.
#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
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
