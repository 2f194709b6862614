//! The schema: its roots, its nodes, and how it is built and printed.

use async_graphql::{
    Context, ID, Interface, MergedObject, Object, Schema as GraphqlSchema, SchemaBuilder, ValidationMode,
};
use witan_domain::{ApiKeyId, InvitationId, OrganizationId, RoomId, SessionId, UnitId, UserId};

use crate::{
    api_key::{ApiKey, ApiKeyMutation, ApiKeyQuery},
    call::{Call, Services},
    chat::MessageMutation,
    desk::{DeskMutation, DeskQuery},
    entry::EntryMutation,
    history::HistoryQuery,
    http::Schemas,
    invitation::{Invitation, InvitationMutation, InvitationQuery},
    media::MediaMutation,
    moderation::ModerationMutation,
    organization::{Organization, OrganizationMutation, OrganizationQuery},
    person::PersonMutation,
    role::RoleMutation,
    room::{Room, RoomMutation, RoomQuery},
    room_people::RoomPeopleMutation,
    session::{Session, SessionQuery},
    subscription::SubscriptionRoot,
    unit::{Unit, UnitMutation, UnitQuery},
    user::{User, UserMutation, UserQuery},
    viewer::ViewerQuery,
};

/// Whatever has an id of its own by which it is found: participants and messages are found in their session.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "async_graphql::Result<ID>", desc = "Globally unique; its prefix tells the type."))]
pub enum Node {
    /// A tenant.
    Organization(Organization),
    /// A team or a department.
    Unit(Unit),
    /// An account.
    User(User),
    /// A lasting place for sessions.
    Room(Room),
    /// One live conference.
    Session(Session),
    /// A key by which a program acts as a user.
    ApiKey(ApiKey),
    /// One person's invitation to one room.
    Invitation(Invitation),
}

/// Queries of any node by its id.
#[derive(Default)]
pub struct NodeQuery;

/// How many nodes one query may ask for by id.
const NODES_MAX: usize = 100;

#[Object]
impl NodeQuery {
    /// Whatever has this id; null when there is none in the caller's organization.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id.")] id: ID,
    ) -> async_graphql::Result<Option<Node>> {
        find(&Call::query(ctx)?, &id).await
    }

    /// Whatever has these ids, in their order: at most 100.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ids.")] ids: Vec<ID>,
    ) -> async_graphql::Result<Vec<Option<Node>>> {
        if ids.len() > NODES_MAX {
            let wanted = format!("ids has {} ids; expected at most {NODES_MAX}.", ids.len());
            return Err(crate::refusal("INVALID_INPUT", wanted));
        }
        let call = Call::query(ctx)?;
        let mut nodes = Vec::with_capacity(ids.len());
        for id in &ids {
            nodes.push(find(&call, id).await?);
        }
        Ok(nodes)
    }
}

async fn find(call: &Call<'_>, id: &ID) -> async_graphql::Result<Option<Node>> {
    let prefix = id.split_once('_').map_or("", |(prefix, _)| prefix);
    let wanted = |field: &str| crate::call::id::<SessionId>(field, id);
    Ok(match prefix {
        OrganizationId::PREFIX => Organization::find(call, crate::call::id("id", id)?).await?.map(Node::Organization),
        UnitId::PREFIX => Unit::find(call, crate::call::id("id", id)?).await?.map(Node::Unit),
        UserId::PREFIX => User::find(call, crate::call::id("id", id)?).await?.map(Node::User),
        RoomId::PREFIX => Room::find(call, crate::call::id("id", id)?).await?.map(Node::Room),
        ApiKeyId::PREFIX => ApiKey::find(call, crate::call::id("id", id)?).await?.map(Node::ApiKey),
        InvitationId::PREFIX => Invitation::find(call, crate::call::id("id", id)?).await?.map(Node::Invitation),
        SessionId::PREFIX => Session::find(call, wanted("id")?).await?.map(Node::Session),
        _ => None,
    })
}

/// The root of queries.
#[derive(MergedObject, Default)]
pub struct QueryRoot(
    NodeQuery,
    ViewerQuery,
    OrganizationQuery,
    UnitQuery,
    UserQuery,
    ApiKeyQuery,
    RoomQuery,
    InvitationQuery,
    SessionQuery,
    DeskQuery,
    HistoryQuery,
);

/// The root of mutations.
#[derive(MergedObject, Default)]
pub struct MutationRoot(
    OrganizationMutation,
    UnitMutation,
    UserMutation,
    RoleMutation,
    ApiKeyMutation,
    PersonMutation,
    RoomMutation,
    RoomPeopleMutation,
    InvitationMutation,
    DeskMutation,
    EntryMutation,
    ModerationMutation,
    MessageMutation,
    MediaMutation,
);

/// The schema that witan serves.
pub type Schema = GraphqlSchema<QueryRoot, MutationRoot, SubscriptionRoot>;

fn builder() -> SchemaBuilder<QueryRoot, MutationRoot, SubscriptionRoot> {
    GraphqlSchema::build(QueryRoot::default(), MutationRoot::default(), SubscriptionRoot)
}

/// The schema over what it answers from.
pub fn schemas(services: Services) -> Schemas<Schema> {
    Schemas {
        strict: builder().data(services.clone()).finish(),
        fast: builder().data(services).validation_mode(ValidationMode::Fast).finish(),
    }
}

/// The schema's text, in the schema definition language.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().sorted_fields().sorted_enum_items().sorted_arguments();
    builder().finish().sdl_with_options(options)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `schema.graphql` at the root is the printed one. `WITAN_BLESS=1` writes it.
    #[test]
    fn schema_graphql_is_the_printed_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema.graphql");
        let printed = super::sdl();
        if std::env::var_os("WITAN_BLESS").is_some() {
            std::fs::write(&file, &printed).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == printed, "schema.graphql is stale: WITAN_BLESS=1 cargo test -p witan-graphql writes it anew");
    }

    /// Every type, field, argument, input field and enum value says what it is.
    #[test]
    fn everything_is_described() {
        let registry = super::builder().finish();
        let undescribed: Vec<String> = undescribed(&registry.sdl());
        assert_eq!(undescribed, Vec::<String>::new());
    }

    /// Lines of the printed schema that define something without a description right above.
    fn undescribed(sdl: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut described = false;
        let mut in_text = false;
        for line in sdl.lines().map(str::trim) {
            if in_text || line.starts_with("\"\"\"") {
                let quotes = line.matches("\"\"\"").count();
                in_text = if in_text { quotes == 0 } else { quotes == 1 };
                described = true;
                continue;
            }
            let defines = ["type ", "input ", "enum ", "interface ", "scalar ", "union "]
                .iter()
                .any(|word| line.starts_with(word))
                // A field whose arguments stand on lines of their own; the line that ends them defines nothing.
                || line.ends_with('(')
                || (line.contains(": ") && !line.starts_with(')'))
                || (!line.is_empty() && line.chars().all(|char| char.is_ascii_uppercase() || char == '_'));
            let root = [
                "type QueryRoot",
                "type MutationRoot",
                "type SubscriptionRoot",
                "query:",
                "mutation:",
                "subscription:",
            ];
            if defines && !described && !root.iter().any(|start| line.starts_with(start)) {
                found.push(line.to_owned());
            }
            described = false;
        }
        found
    }
}
