// The public API, as the tests use it: to make what is needed, and to look at what was recorded.

export const WITAN = process.env.WITAN_URL;
export const KEY = process.env.WITAN_KEY;

export async function ask(document, variables = {}, credential = KEY) {
  // A server that was started again has another port.
  const response = await fetch(`${process.env.WITAN_URL}/graphql`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(credential ? { authorization: `Bearer ${credential}` } : {}),
    },
    body: JSON.stringify({ query: document, variables }),
  });
  const answer = await response.json();
  if (answer.errors) throw new Error(JSON.stringify(answer.errors));
  for (const payload of Object.values(answer.data)) {
    if (payload?.userErrors?.length > 0) throw new Error(JSON.stringify(payload.userErrors));
  }
  return answer.data;
}

async function does(mutation, type, input, selection) {
  const document = `mutation($input: ${type}!) { ${mutation}(input: $input) { ${selection} userErrors { code message field } } }`;
  return (await ask(document, { input }))[mutation];
}

let units = 0;

/** A room, with settings and policies of its own. */
export async function room({ purpose = "MEETING", name = "Cardiology", settings = {}, join = null } = {}) {
  units += 1;
  const slug = `unit-${process.pid}-${units}`;
  const unit = await does("createUnit", "CreateUnitInput", { slug, fullName: "A unit" }, "unit { id }");
  const input = { unitId: unit.unit.id, slug: "room", name, purpose };
  const { room } = await does("createRoom", "CreateRoomInput", input, "room { id }");
  if (Object.keys(settings).length > 0) {
    await does("setRoomSettings", "SetRoomSettingsInput", { roomId: room.id, settings: { set: settings } }, "room { id }");
  }
  if (join) {
    await does("setRoomPolicies", "SetRoomPoliciesInput", { roomId: room.id, policies: { set: { join } } }, "room { id }");
  }
  return room.id;
}

/** An invitation's link, as it would be sent to somebody. */
export async function invitation(roomId, displayName, role = "PARTICIPANT") {
  const notAfter = new Date(Date.now() + 3_600_000).toISOString();
  const input = { roomId, displayName, role, notAfter };
  const made = await does("createInvitation", "CreateInvitationInput", input, "invitation { id } secret");
  return `${WITAN}/meet/${roomId}#invitation=${made.invitation.id}.${made.secret}`;
}

/** The room's newest session, as an admin sees it. */
export async function session(roomId) {
  const document = `query($id: ID!) { room(id: $id) { sessions(last: 1) { edges { node {
    id status endReason presentCount waitingCount
    participants { id displayName { value } role state held muted consents { purpose withdrawnAt } }
  } } } } }`;
  const found = await ask(document, { id: roomId });
  return found.room.sessions.edges[0]?.node ?? null;
}

/** The names of those who wait at the desk of the room's unit. */
export async function desk(roomId) {
  const { room } = await ask("query($id: ID!) { room(id: $id) { unit { id } } }", { id: roomId });
  const document = "query($id: ID!) { waitingDesk(unitId: $id) { waiting { displayName { value } } } }";
  const { waitingDesk } = await ask(document, { id: room.unit.id });
  return waitingDesk.waiting.map(({ displayName }) => displayName.value);
}

/** The types of the events of a session, in their order. */
export async function history(sessionId) {
  const document = `query($id: ID!) { session(id: $id) { history(first: 100) { edges { node { type data } } } } }`;
  const found = await ask(document, { id: sessionId });
  return found.session.history.edges.map(({ node }) => node);
}
