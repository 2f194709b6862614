//! What one caller may ask for at once. Every limit is a named constant, its unit last; a server may set others.
//!
//! The document limits are chosen together: whatever passes all of them costs async-graphql's parser and validator a few
//! milliseconds at most (a test in `scan.rs` holds that), so nothing can be made expensive by a clever shape.

use std::time::Duration;

/// Bytes of the body of one HTTP request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Seconds in which the body of one HTTP request must have arrived.
pub const BODY_SECONDS_MAX: u64 = 10;
/// Nesting of arrays and objects in the JSON of a request, its own object included.
pub const JSON_DEPTH_MAX: usize = 32;
/// Values (of any kind, names of members not counted) in the JSON of a request.
pub const JSON_VALUES_MAX: usize = 10_000;

/// Bytes of a GraphQL document: what "did you mean" costs grows with it times the fields that a type has.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024;
/// Lexical tokens (GraphQL September 2025, section 2.1.6) of a document.
pub const TOKENS_MAX: usize = 5_000;
/// Brackets of any kind that are open at once.
pub const NESTING_MAX: usize = 32;
/// Bytes of one name: unknown names are compared with all known ones when "did you mean" is looked for.
pub const NAME_BYTES_MAX: usize = 128;
/// Aliases in a document.
pub const ALIASES_MAX: usize = 100;
/// Directives in a document.
pub const DIRECTIVES_MAX: usize = 50;
/// Operations in a document.
pub const OPERATIONS_MAX: usize = 20;
/// Fields of the query or mutation type in one operation, fragments expanded.
pub const ROOT_FIELDS_MAX: usize = 40;
/// Selections (fields, spreads, inline fragments) of all operations together, fragments expanded.
pub const SELECTIONS_MAX: usize = 2_000;
/// Selection sets within each other, fragments expanded. GraphiQL's introspection query needs 17.
pub const DEPTH_MAX: usize = 24;
/// Lists of fields, interfaces or possible types within each other in an introspection query: each multiplies the answer.
pub const INTROSPECTION_LISTS_MAX: usize = 3;
/// Rows that an operation may ask for, pages within pages multiplied.
pub const ROWS_MAX: usize = 10_000;
/// Bytes that the cache of parsed documents may hold.
pub const DOCUMENT_CACHE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// WebSocket connections of all callers.
pub const CONNECTIONS_MAX: usize = 20_000;
/// WebSocket connections of one API key: an integrator may serve all its users with one, but not take all there are.
pub const CONNECTIONS_PER_CREDENTIAL_MAX: usize = 12_000;
/// WebSocket connections of one participant's resume secret: some devices and tabs, each reload of which overlaps a little.
pub const CONNECTIONS_PER_PARTICIPANT_MAX: usize = 20;
/// WebSocket connections of all who show no credential together.
pub const CONNECTIONS_OF_NOBODY_MAX: usize = 2_000;
/// Operations that run at once on one connection.
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 100;
/// Bytes of one message from a WebSocket client.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an operation's id on a WebSocket.
pub const OPERATION_ID_BYTES_MAX: usize = 128;
/// Seconds in which a new WebSocket must say `connection_init`.
pub const INIT_SECONDS_MAX: u64 = 5;
/// Seconds for which a subscriber may leave what was sent unread before it is let go.
pub const STALL_SECONDS_MAX: u64 = 10;
/// Seconds in which a client may still read what it is told at the end.
pub const FAREWELL_SECONDS_MAX: u64 = 5;
/// Seconds between two looks at whether a caller may still listen: a removed grant acts within 5 s.
pub const RECHECK_SECONDS: u64 = 2;
/// Seconds that one such look may take; longer is a no.
pub const RECHECK_SECONDS_MAX: u64 = 2;
/// Seconds of silence after which the client is pinged.
pub const PING_SECONDS: u64 = 15;
/// Seconds of silence after which the client is taken for dead.
pub const SILENCE_SECONDS_MAX: u64 = 40;

/// All limits of the transport. `Limits::default()` gives the constants of this module.
#[derive(Clone, Debug)]
pub struct Limits {
    pub body_bytes_max: usize,
    pub body_time_max: Duration,
    pub json_depth_max: usize,
    pub json_values_max: usize,
    pub document_bytes_max: usize,
    pub tokens_max: usize,
    pub nesting_max: usize,
    pub name_bytes_max: usize,
    pub aliases_max: usize,
    pub directives_max: usize,
    pub operations_max: usize,
    pub root_fields_max: usize,
    pub selections_max: usize,
    pub depth_max: usize,
    pub introspection_lists_max: usize,
    pub rows_max: usize,
    pub document_cache_bytes_max: u64,
    pub connections_max: usize,
    pub connections_per_credential_max: usize,
    pub connections_per_participant_max: usize,
    pub connections_of_nobody_max: usize,
    pub subscriptions_per_connection_max: usize,
    pub message_bytes_max: usize,
    pub operation_id_bytes_max: usize,
    pub init_time_max: Duration,
    pub stall_time_max: Duration,
    pub farewell_time_max: Duration,
    pub recheck_every: Duration,
    pub recheck_time_max: Duration,
    pub ping_after: Duration,
    pub silence_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: BODY_BYTES_MAX,
            body_time_max: Duration::from_secs(BODY_SECONDS_MAX),
            json_depth_max: JSON_DEPTH_MAX,
            json_values_max: JSON_VALUES_MAX,
            document_bytes_max: DOCUMENT_BYTES_MAX,
            tokens_max: TOKENS_MAX,
            nesting_max: NESTING_MAX,
            name_bytes_max: NAME_BYTES_MAX,
            aliases_max: ALIASES_MAX,
            directives_max: DIRECTIVES_MAX,
            operations_max: OPERATIONS_MAX,
            root_fields_max: ROOT_FIELDS_MAX,
            selections_max: SELECTIONS_MAX,
            depth_max: DEPTH_MAX,
            introspection_lists_max: INTROSPECTION_LISTS_MAX,
            rows_max: ROWS_MAX,
            document_cache_bytes_max: DOCUMENT_CACHE_BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            connections_per_credential_max: CONNECTIONS_PER_CREDENTIAL_MAX,
            connections_per_participant_max: CONNECTIONS_PER_PARTICIPANT_MAX,
            connections_of_nobody_max: CONNECTIONS_OF_NOBODY_MAX,
            subscriptions_per_connection_max: SUBSCRIPTIONS_PER_CONNECTION_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            operation_id_bytes_max: OPERATION_ID_BYTES_MAX,
            init_time_max: Duration::from_secs(INIT_SECONDS_MAX),
            stall_time_max: Duration::from_secs(STALL_SECONDS_MAX),
            farewell_time_max: Duration::from_secs(FAREWELL_SECONDS_MAX),
            recheck_every: Duration::from_secs(RECHECK_SECONDS),
            recheck_time_max: Duration::from_secs(RECHECK_SECONDS_MAX),
            ping_after: Duration::from_secs(PING_SECONDS),
            silence_time_max: Duration::from_secs(SILENCE_SECONDS_MAX),
        }
    }
}
