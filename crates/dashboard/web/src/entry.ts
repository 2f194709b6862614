// The ways in: by an invitation, by an account, or as a guest. Each leads to a join token, and that to the door.

import { Api, ApiError } from "./api/client";
import * as operations from "./api/operations";
import type { Entered, JoinToken, Payload, Viewer } from "./api/types";
import type { KeptInvitation } from "./keep";
import type { MediaEntrance } from "./media/protocol";

export type Way =
  | { by: "invitation"; invitation: KeptInvitation }
  | { by: "key"; key: string; name: string; room: string | null }
  | { by: "guest"; password: string };

export interface Joined extends Entered {
  media?: MediaEntrance | null;
}

const DEVICE_CHARS_MAX = 300;

/**
 * What the address says after `#`: `invitation=<id>.<secret>`. It is taken out of the address at once. A link that was cut
 * on its way is told from one that has no invitation.
 */
export function takeFragment(): KeptInvitation | "damaged" | null {
  const invitation = new URLSearchParams(location.hash.slice(1)).get("invitation");
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
  if (invitation === null) return null;
  const [id = "", secret = ""] = invitation.split(".");
  return id !== "" && secret !== "" ? { id, secret } : "damaged";
}

/** The room that the address names. */
export function roomOfAddress(): string | null {
  const [, meet, room] = location.pathname.split("/");
  return meet === "meet" && room ? decodeURIComponent(room) : null;
}

export async function joinToken(room: string, way: Way): Promise<JoinToken> {
  switch (way.by) {
    case "invitation": {
      const { id, secret } = way.invitation;
      const input = { invitationId: id, secret };
      return new Api(null).mutate<JoinToken>("exchangeInvitation", operations.EXCHANGE_INVITATION, input);
    }
    case "key":
      return new Api(way.key).mutate<JoinToken>("createJoinToken", operations.CREATE_JOIN_TOKEN, { roomId: room });
    case "guest": {
      const password = way.password === "" ? null : way.password;
      const input = { roomId: room, password };
      return new Api(null).mutate<JoinToken>("createJoinToken", operations.CREATE_JOIN_TOKEN, input);
    }
  }
}

/** Who the key acts as, and the room's name where they may read it. Throws where the key is none, or not good. */
export async function signIn(room: string, key: string): Promise<Way> {
  const api = new Api(key);
  const { viewer } = await api.query<{ viewer: Viewer }>(operations.VIEWER);
  if (viewer.kind !== "USER") throw new ApiError("UNAUTHENTICATED", "not an API key");
  const read = api.query<{ room: { name: string } | null }>(operations.ROOM, { id: room });
  const found = await read.catch(() => ({ room: null }));
  return { by: "key", key, name: viewer.user?.name.value ?? "", room: found.room?.name ?? null };
}

/** Opens a session in the room, unless somebody was faster. */
export async function openSession(room: string, way: Way): Promise<void> {
  const api = new Api(way.by === "key" ? way.key : null);
  const password = way.by === "guest" && way.password !== "" ? { password: way.password } : {};
  try {
    await api.mutate<Payload>("openSession", operations.OPEN_SESSION, { roomId: room, ...password });
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "SESSION_LIVE")) throw error;
  }
}

export async function atTheDoor(token: JoinToken, displayName: string): Promise<Joined> {
  const input = { joinToken: token.joinToken, displayName, device: device() };
  const api = new Api(null);
  if (!token.lobby) {
    try {
      return await api.mutate<Joined>("joinSession", operations.JOIN_SESSION, input);
    } catch (error) {
      // The lobby may have been switched on since the token was made.
      if (!(error instanceof ApiError && error.code === "KNOCK_NEEDED")) throw error;
    }
  }
  return api.mutate<Joined>("knock", operations.KNOCK, input);
}

/** Waits at the desk of the room's unit, where those who host see it. Who waits already waits on. */
export async function waitAtDesk({ id, secret }: KeptInvitation, displayName: string): Promise<void> {
  const input = { invitationId: id, secret, displayName, device: device() };
  await new Api(null).mutate<Payload>("waitAtDesk", operations.WAIT_AT_DESK, input);
}

export async function leaveDesk({ id, secret }: KeptInvitation): Promise<void> {
  await new Api(null).mutate<Payload>("leaveDesk", operations.LEAVE_DESK, { invitationId: id, secret });
}

/** What the browser says of itself, for the record of who came by which device. */
function device(): string {
  return navigator.userAgent.slice(0, DEVICE_CHARS_MAX);
}
