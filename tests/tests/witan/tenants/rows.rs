//! Which field of the schema asks for which operation of the table in `docs/roles.md`.

use super::schema::Root;

/// A field of a root type, called in one way.
pub struct Row {
    pub root: Root,
    pub field: &'static str,
    /// What is said of its arguments, as JSON; `$roomId` is the id of the organization's room. The rest is generated.
    pub with: &'static str,
    /// Said besides by those of the same organization, so that nothing changes for the rows after it: something that
    /// is refused after it was asked whether they may.
    pub in_vain: &'static str,
    pub answer: Answer,
    pub place: Place,
    /// What nobody is told where nobody may.
    pub to_nobody: &'static str,
}

/// Who gets what.
pub enum Answer {
    /// Whoever may do any of these.
    AnyOf(&'static [&'static str]),
    /// Nobody without the secret, whoever they are; everyone is told this code. The operation is that of its bearer.
    Bearer { operation: &'static str, code: &'static str },
}

/// What a row is about, where that matters for who may.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the unit where the roles hold, in the session that the participants are in.
    Here,
    /// In no unit.
    NoUnit,
    /// The session that has ended, which none of the participants was in.
    Closed,
}

/// A field below others with a guard of its own.
pub struct Below {
    pub on: &'static str,
    pub field: &'static str,
    /// What is asked, from a query root.
    pub query: &'static str,
    pub shown: Shown,
    /// Whoever may do all of these is shown it.
    pub all_of: &'static [&'static str],
    /// Who is oneself there: the name of a caller, or `*` for every user.
    pub oneself: &'static str,
    pub place: Place,
}

/// How to see that it is shown.
pub enum Shown {
    /// There is something at this JSON pointer.
    At(&'static str),
    /// This target is named somewhere in the answer.
    Names(&'static str),
}

const fn row(root: Root, field: &'static str, with: &'static str, any_of: &'static [&'static str]) -> Row {
    let to_nobody = "UNAUTHENTICATED";
    Row { root, field, with, in_vain: "", answer: Answer::AnyOf(any_of), place: Place::Here, to_nobody }
}

const fn query(field: &'static str, with: &'static str, any_of: &'static [&'static str]) -> Row {
    row(Root::Query, field, with, any_of)
}

/// A mutation that has an `expectedVersion`, and its operation's name.
const fn change(field: &'static str, operation: &'static [&'static str]) -> Row {
    row(Root::Mutation, field, "", operation)
}

impl Row {
    const fn with(self, with: &'static str) -> Row {
        Row { with, ..self }
    }

    const fn in_vain(self, in_vain: &'static str) -> Row {
        Row { in_vain, ..self }
    }

    const fn telling_nobody(self, to_nobody: &'static str) -> Row {
        Row { to_nobody, ..self }
    }

    const fn of_closed(self) -> Row {
        Row { place: Place::Closed, ..self }
    }

    const fn by_bearer(self, operation: &'static str, code: &'static str) -> Row {
        Row { answer: Answer::Bearer { operation, code }, ..self }
    }

    pub fn operations(&self) -> Vec<&'static str> {
        match self.answer {
            Answer::AnyOf(operations) => operations.to_vec(),
            Answer::Bearer { operation, .. } => vec![operation],
        }
    }
}

const BAD_SLUG: &str = r#"{ "input": { "slug": "Not a slug" } }"#;
const NO_NAME: &str = r#"{ "input": { "name": "" } }"#;
const SETTING: &str = r#"{ "input": { "setting": { "chat": true } } }"#;
const ROLE: &str = r#"{ "input": { "role": "MEMBER" } }"#;
const FORGED: &str = r#"{ "input": { "joinToken": "forged", "displayName": "Nobody" } }"#;
const INTO_SESSION: &str = r#"{ "input": { "sessionId": "$sessionId" } }"#;

/// Of a deployment without media, where there are none of these.
const NO_STREAM: &str = r#"{ "input": { "streamId": "stream_01ARZ3NDEKTSV4RRFFQ69G5FAV" } }"#;
const NO_OFFER: &str = r#"{ "input": { "offerId": "offer_01ARZ3NDEKTSV4RRFFQ69G5FAV" } }"#;

const AS_IT_IS: &str = r#"{ "input": { "continuesId": "$absent" } }"#;
const BY_SESSION: &str = r#"{ "input": { "sessionId": "$sessionId", "roomId": "$absent" } }"#;
const BY_ROOM: &str = r#"{ "input": { "roomId": "$roomId", "sessionId": "$absent" } }"#;

pub const ROWS: &[Row] = &[
    query("viewer", "", &["viewer"]),
    query("node", r#"{ "id": "$organizationId" }"#, &["readOrganization"]),
    query("node", r#"{ "id": "$unitId" }"#, &["readUnit"]),
    query("node", r#"{ "id": "$userId" }"#, &["readUser"]),
    query("node", r#"{ "id": "$roomId" }"#, &["readRoom"]),
    query("node", r#"{ "id": "$sessionId" }"#, &["readSession"]),
    query("node", r#"{ "id": "$apiKeyId" }"#, &["readApiKey"]),
    query("node", r#"{ "id": "$invitationId" }"#, &["readInvitation"]),
    query("nodes", r#"{ "ids": ["$organizationId"] }"#, &["readOrganization"]),
    query("nodes", r#"{ "ids": ["$userId"] }"#, &["readUser"]),
    query("nodes", r#"{ "ids": ["$roomId"] }"#, &["readRoom"]),
    query("nodes", r#"{ "ids": ["$apiKeyId"] }"#, &["readApiKey"]),
    query("nodes", r#"{ "ids": ["$invitationId"] }"#, &["readInvitation"]),
    query("nodes", r#"{ "ids": ["$closedId"] }"#, &["readSession"]).of_closed(),
    query("organization", r#"{ "id": "$organizationId" }"#, &["readOrganization"]),
    query("unit", r#"{ "id": "$unitId" }"#, &["readUnit"]),
    query("user", r#"{ "id": "$userId" }"#, &["readUser"]),
    query("apiKey", r#"{ "id": "$apiKeyId" }"#, &["readApiKey"]),
    query("room", r#"{ "id": "$roomId" }"#, &["readRoom"]),
    query("invitation", r#"{ "id": "$invitationId" }"#, &["readInvitation"]),
    query("deskWait", "", &["deskWait"]),
    query("waitingDesk", "", &["waitingDesk"]),
    query("session", r#"{ "id": "$sessionId" }"#, &["readSession"]),
    query("session", r#"{ "id": "$closedId" }"#, &["readSession"]).of_closed(),
    query("sessionAsOf", r#"{ "id": "$sessionId", "position": "$sessionPosition" }"#, &["readHistory"]),
    query("sessionAsOf", r#"{ "id": "$closedId", "position": "$sessionPosition" }"#, &["readHistory"]).of_closed(),
    query("sessions", "", &["listSessions"]),
    query("auditTrail", "", &["readAuditTrail"]),
    query("event", r#"{ "position": "$unitPosition" }"#, &["readAuditTrail"]),
    query("event", r#"{ "position": "$sessionPosition" }"#, &["readHistory"]),
    query("event", r#"{ "position": "$chatPosition" }"#, &["readChat"]),
    query("inclusionProof", r#"{ "position": "$unitPosition" }"#, &["readInclusionProof", "readAuditTrail"]),
    query("inclusionProof", r#"{ "position": "$sessionPosition" }"#, &["readInclusionProof", "readHistory"]),
    query("inclusionProof", r#"{ "position": "$chatPosition" }"#, &["readInclusionProof", "readChat"]),
    query("checkpoint", "", &["readCheckpoint"]),
    query("consistencyProof", r#"{ "oldSize": "1", "newSize": "2" }"#, &["readConsistencyProof"]),
    change("updateOrganization", &["updateOrganization"]),
    change("setOrganizationSettings", &["setOrganizationSettings"]),
    change("setOrganizationPolicies", &["setOrganizationPolicies"]),
    change("createUnit", &["createUnit"]).in_vain(BAD_SLUG),
    change("updateUnit", &["updateUnit"]),
    change("moveUnit", &["moveUnit"]),
    change("archiveUnit", &["archiveUnit"]),
    change("setUnitSettings", &["setUnitSettings"]),
    change("setUnitPolicies", &["setUnitPolicies"]),
    change("createUser", &["createUser"]).in_vain(NO_NAME),
    change("updateUser", &["updateUser"]),
    change("deactivateUser", &["deactivateUser"]),
    change("reactivateUser", &["reactivateUser"]),
    change("grantRole", &["grantRole"]).with(ROLE),
    change("revokeRole", &["revokeRole"]).with(ROLE),
    change("createApiKey", &["createApiKey"]).in_vain(NO_NAME),
    change("revokeApiKey", &["revokeApiKey"]),
    // The account of this person is in use, so that they can't be erased.
    change("erasePerson", &["erasePerson"]),
    change("createRoom", &["createRoom"]).in_vain(BAD_SLUG),
    change("updateRoom", &["updateRoom"]),
    change("setRoomSettings", &["setRoomSettings"]),
    change("setRoomPolicies", &["setRoomPolicies"]),
    change("addRoomPerson", &["addRoomPerson"]),
    change("removeRoomPerson", &["removeRoomPerson"]),
    change("disableRoom", &["disableRoom"]),
    change("enableRoom", &["enableRoom"]),
    change("archiveRoom", &["archiveRoom"]),
    change("createInvitation", &["createInvitation"]).in_vain(r#"{ "input": { "displayName": "" } }"#),
    change("revokeInvitation", &["revokeInvitation"]),
    change("exchangeInvitation", &["exchangeInvitation"]),
    // The room has a live session: there is nothing to wait for.
    change("waitAtDesk", &["waitAtDesk"]),
    change("leaveDesk", &["leaveDesk"]),
    change("openSession", &["openSession"]).with(AS_IT_IS).telling_nobody("ENTRY_REFUSED"),
    change("openAdHocSession", &["openAdHocSession"]).in_vain(NO_NAME),
    change("createJoinToken", &["createJoinToken"]).with(BY_SESSION).telling_nobody("ENTRY_REFUSED"),
    change("createJoinToken", &["createJoinToken"]).with(BY_ROOM).telling_nobody("ENTRY_REFUSED"),
    change("knock", &[]).with(FORGED).by_bearer("knock", "JOIN_TOKEN_INVALID"),
    change("joinSession", &[]).with(JOIN_BY_TOKEN).by_bearer("joinSession", "JOIN_TOKEN_INVALID"),
    change("joinSession", &["joinSession"]).with(INTO_SESSION),
    change("resumeParticipation", &["resumeParticipation"]),
    change("leaveSession", &["leaveSession"]),
    change("withdrawKnock", &["withdrawKnock"]),
    change("admitParticipant", &["admitParticipant"]),
    change("admitAll", &["admitAll"]),
    change("denyParticipant", &["denyParticipant"]),
    change("muteParticipant", &["muteParticipant"]),
    change("unmuteParticipant", &["unmuteParticipant"]),
    change("muteAll", &["muteAll"]),
    change("holdParticipant", &["holdParticipant"]),
    change("releaseParticipant", &["releaseParticipant"]),
    change("moveParticipant", &["moveParticipant"]),
    change("removeParticipant", &["removeParticipant"]),
    change("changeParticipantRole", &["changeParticipantRole"]),
    change("lockSession", &["lockSession"]),
    change("unlockSession", &["unlockSession"]),
    change("extendSession", &["extendSession"]),
    change("changeSessionSetting", &["changeSessionSetting"]).with(SETTING),
    change("endSession", &["endSession"]),
    change("giveConsent", &["giveConsent"]),
    change("withdrawConsent", &["withdrawConsent"]),
    change("sendMessage", &["sendMessage"]),
    // A message that is not there, in a chat that is.
    change("removeMessage", &["removeMessage"]).in_vain(r#"{ "input": { "messageId": "$noMessageId" } }"#),
    change("enterMedia", &["enterMedia"]),
    change("connectTransport", &["connectTransport"]),
    change("restartIce", &["restartIce"]),
    change("publishStream", &["publishStream"]),
    change("setStreamPaused", &["setStreamPaused"]).with(NO_STREAM),
    change("unpublishStream", &["unpublishStream"]).with(NO_STREAM),
    change("acknowledgeOffer", &["acknowledgeOffer"]).with(NO_OFFER),
    change("setPreferredLayers", &["setPreferredLayers"]).with(NO_OFFER),
    change("requestKeyFrame", &["requestKeyFrame"]).with(NO_OFFER),
    row(Root::Subscription, "sessionSignals", r#"{ "sessionId": "$sessionId", "after": "0" }"#, &["sessionSignals"]),
    row(Root::Subscription, "sessionEvents", r#"{ "sessionId": "$sessionId", "after": "0" }"#, &["sessionEvents"]),
    row(Root::Subscription, "waitingDeskChanged", r#"{ "unitId": "$unitId" }"#, &["waitingDeskChanged"]),
    row(Root::Subscription, "sessionChanged", r#"{ "sessionId": "$sessionId" }"#, &["sessionChanged"]),
    row(Root::Subscription, "organizationActivity", r#"{ "after": "0" }"#, &["organizationActivity"]),
];

/// The session's id that would be generated is left out.
const JOIN_BY_TOKEN: &str =
    r#"{ "input": { "joinToken": "forged", "displayName": "Nobody", "sessionId": "$absent" } }"#;

const fn below(
    on: &'static str,
    field: &'static str,
    query: &'static str,
    shown: Shown,
    all_of: &'static [&'static str],
) -> Below {
    Below { on, field, query, shown, all_of, oneself: "", place: Place::Here }
}

impl Below {
    const fn about(self, oneself: &'static str) -> Below {
        Below { oneself, ..self }
    }

    const fn at(self, place: Place) -> Below {
        Below { place, ..self }
    }
}

use Shown::{At, Names};

const KEYS: &str = "organization(id: $organizationId) { apiKeys(first: 100) { edges { node { id } } } }";
const ROOMS: &str = "organization(id: $organizationId) { rooms(first: 100) { edges { node { id } } } }";
const SESSIONS: &str = "organization(id: $organizationId) { sessions(first: 100) { edges { node { id } } } }";
const UNITS: &str = "organization(id: $organizationId) { units(first: 100) { edges { node { id } } } }";
const USERS: &str = "organization(id: $organizationId) { users(first: 100) { edges { node { id } } } }";
const OWNERS: &str = "organization(id: $organizationId) { owners { user { id } } }";
const INVITATIONS: &str = "room(id: $roomId) { invitations(first: 100) { edges { node { id } } } }";
const ROOM_SESSIONS: &str = "room(id: $roomId) { sessions(first: 100) { edges { node { id } } } }";
const UNIT_ROOMS: &str = "unit(id: $unitId) { rooms(first: 100) { edges { node { id } } } }";
const CHILDREN: &str = "unit(id: $parentUnitId) { children(first: 100) { edges { node { id } } } }";
const HISTORY: &str = "session(id: $sessionId) { history(first: 100) { edges { node { id } } } }";
const CHAT: &str = "session(id: $sessionId) { messages(first: 100) { edges { node { id text { value } } } } }";
/// Before anyone had come: who came later may look back.
const AT_FIRST: &str = "sessionAsOf(id: $sessionId, position: $sessionPosition) { participants { id } }";
const AS_OF: &str = "session(id: $sessionId) { asOf(position: $sessionPosition) { status version } }";
const THEN: &str = "sessionAsOf(id: $sessionId, position: $chatPosition) { participants { id } }";

const STREAMS_THEN: &str = "sessionAsOf(id: $sessionId, position: $chatPosition) { streams { id } }";

const LOOKS_BACK: &[&str] = &["readHistory", "readParticipants"];

pub const BELOW: &[Below] = &[
    below("Organization", "apiKeys", KEYS, At("/organization/apiKeys"), &["readOrganization", "listApiKeys"]),
    below("Organization", "apiKeys", KEYS, Names("apiKeyId"), &["readOrganization", "listApiKeys", "readApiKey"]),
    below("Organization", "rooms", ROOMS, At("/organization/rooms"), &["readOrganization", "listRooms"]),
    below("Organization", "rooms", ROOMS, Names("roomId"), &["readOrganization", "listRooms", "readRoom"]),
    below("Organization", "sessions", SESSIONS, At("/organization/sessions"), &["readOrganization", "listSessions"]),
    below(
        "Organization",
        "sessions",
        SESSIONS,
        Names("sessionId"),
        &["readOrganization", "listSessions", "readSession"],
    ),
    below(
        "Organization",
        "sessions",
        SESSIONS,
        Names("closedId"),
        &["readOrganization", "listSessions", "readSession"],
    )
    .at(Place::Closed),
    below("Organization", "units", UNITS, At("/organization/units"), &["readOrganization", "listUnits"]),
    below("Organization", "units", UNITS, Names("unitId"), &["readOrganization", "listUnits", "readUnit"]),
    below("Organization", "users", USERS, At("/organization/users"), &["readOrganization", "listUsers"]),
    below("Organization", "users", USERS, Names("userId"), &["readOrganization", "listUsers", "readUser"]),
    below("OrganizationOwner", "user", OWNERS, At("/organization/owners/0/user"), &["readOrganization", "readUser"])
        .about("owner")
        .at(Place::NoUnit),
    below("Unit", "children", CHILDREN, At("/unit/children"), &["readUnit", "listUnits"]),
    below("Unit", "children", CHILDREN, Names("unitId"), &["readUnit", "listUnits"]),
    below("Unit", "parent", "unit(id: $unitId) { parent { id } }", At("/unit/parent"), &["readUnit"]),
    below("Unit", "path", "unit(id: $unitId) { path { id } }", At("/unit/path/1"), &["readUnit"]),
    below("Unit", "rooms", UNIT_ROOMS, At("/unit/rooms"), &["readUnit", "listRooms"]),
    below("Unit", "rooms", UNIT_ROOMS, Names("roomId"), &["readUnit", "listRooms", "readRoom"]),
    below("User", "unit", "user(id: $userId) { unit { id } }", At("/user/unit"), &["readUser", "readUnit"]),
    below(
        "HeldRole",
        "unit",
        "user(id: $userId) { roles { unit { id } } }",
        At("/user/roles/0/unit"),
        &["readUser", "readUnit"],
    ),
    below("ApiKey", "user", "apiKey(id: $apiKeyId) { user { id } }", At("/apiKey/user"), &["readApiKey", "readUser"]),
    below(
        "Viewer",
        "organization",
        "viewer { organization { id } }",
        At("/viewer/organization"),
        &["viewer", "readOrganization"],
    ),
    below("Viewer", "user", "viewer { user { id } }", At("/viewer/user"), &["viewer", "readUser"]).about("*"),
    below("Room", "invitations", INVITATIONS, At("/room/invitations"), &["readRoom", "listInvitations"]),
    below(
        "Room",
        "invitations",
        INVITATIONS,
        Names("invitationId"),
        &["readRoom", "listInvitations", "readInvitation"],
    ),
    below(
        "Room",
        "liveSession",
        "room(id: $roomId) { liveSession { id } }",
        At("/room/liveSession"),
        &["readRoom", "readSession"],
    ),
    below("Room", "owner", "room(id: $roomId) { owner { id } }", At("/room/owner"), &["readRoom", "readUser"])
        .about("room owner"),
    below(
        "RoomPerson",
        "user",
        "room(id: $roomId) { people { user { id } } }",
        At("/room/people/0/user"),
        &["readRoom", "readUser"],
    )
    .about("named person"),
    below("Room", "sessions", ROOM_SESSIONS, At("/room/sessions"), &["readRoom", "listSessions"]),
    below("Room", "sessions", ROOM_SESSIONS, Names("sessionId"), &["readRoom", "listSessions", "readSession"]),
    below("Room", "unit", "room(id: $roomId) { unit { id } }", At("/room/unit"), &["readRoom", "readUnit"]),
    below(
        "Invitation",
        "room",
        "invitation(id: $invitationId) { room { id } }",
        At("/invitation/room"),
        &["readInvitation", "readRoom"],
    ),
    below("Session", "history", HISTORY, At("/session/history/edges/0"), &["readSession", "readHistory"]),
    below("Session", "messages", CHAT, At("/session/messages/edges/0"), &["readSession", "readChat"]),
    below("Session", "messages", CHAT, Names("chatText"), &["readSession", "readChat"]),
    below(
        "Session",
        "participants",
        "session(id: $sessionId) { participants { id } }",
        At("/session/participants/0"),
        &["readSession", "readParticipants"],
    ),
    below(
        "Session",
        "participant",
        "session(id: $sessionId) { participant(id: $participantId) { id } }",
        At("/session/participant"),
        &["readSession", "readParticipants"],
    ),
    below(
        "Session",
        "streams",
        "session(id: $sessionId) { streams(live: false) { id } }",
        At("/session/streams"),
        &["readSession", "readParticipants"],
    ),
    below(
        "Session",
        "recordId",
        "session(id: $sessionId) { recordId { value } }",
        At("/session/recordId"),
        &["readSession", "readHistory"],
    ),
    below(
        "Session",
        "recordId",
        "session(id: $sessionId) { recordId { value } }",
        Names("recordText"),
        &["readSession", "readHistory"],
    ),
    // Guests too see which room they are in.
    below("Session", "room", "session(id: $sessionId) { room { id } }", At("/session/room"), &["readSession"]),
    below("Session", "asOf", AS_OF, At("/session/asOf"), &["readSession", "readHistory"]),
    below("SessionSnapshot", "streams", STREAMS_THEN, At("/sessionAsOf/streams"), LOOKS_BACK),
    below("SessionSnapshot", "participants", AT_FIRST, At("/sessionAsOf/participants"), LOOKS_BACK),
    below("SessionSnapshot", "participants", THEN, Names("participantId"), LOOKS_BACK),
];

/// Fields that lead on and are shown to whoever is shown what they are in.
pub const PARTS: &[(&str, &str)] = &[
    ("EventSignal", "event"),
    ("Invitation", "displayName"),
    ("Invitation", "email"),
    ("Invitation", "externalId"),
    ("MediaEntrance", "receiveTransport"),
    ("MediaEntrance", "sendTransport"),
    ("Message", "text"),
    ("Organization", "fullName"),
    ("Organization", "owners"),
    ("Organization", "postalAddress"),
    ("Organization", "taxId"),
    ("Participant", "displayName"),
    ("Participant", "streams"),
    ("Room", "people"),
    // Whoever sees the desk of a unit reads its rooms.
    ("WaitingDesk", "waiting"),
    ("WaitingPerson", "displayName"),
    ("WaitingPerson", "room"),
    ("User", "email"),
    ("User", "externalId"),
    ("User", "login"),
    ("User", "name"),
    ("User", "roles"),
];
