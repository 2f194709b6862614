//! The people whom a room names, each with a role in its sessions.

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use witan_domain::UserId;

use crate::{
    call::{Call, id},
    mutation::inputs,
    participant::SessionRole,
    room::{RoomPayload, room_payload},
    user::User,
};

/// Someone whom a room names, with a role in its sessions.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct RoomPerson {
    /// The user's id.
    pub user_id: ID,
    /// What they are in the room's sessions.
    pub role: SessionRole,
    #[graphql(skip)]
    pub person: UserId,
}

/// Someone whom a room names, with a role in its sessions.
#[ComplexObject]
impl RoomPerson {
    /// The user; null where it may not be read.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::readable(&Call::query(ctx)?, self.person).await
    }
}

inputs! {
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
}

/// Mutations of the people whom rooms name.
#[derive(Default)]
pub struct RoomPeopleMutation;

#[Object]
impl RoomPeopleMutation {
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
}
