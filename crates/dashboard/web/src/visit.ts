// One visit to a room: from the link to the end screen. The phases follow each other as the API says, never as the page
// thinks.

import { Api, ApiError, sleep, type Connection } from "./api/client";
import * as operations from "./api/operations";
import type { JoinToken, Payload, Receipt, Viewer } from "./api/types";
import { Call } from "./call";
import { atTheDoor, joinToken, leaveDesk, openSession, signIn, takeFragment, waitAtDesk, type Joined, type Way } from "./entry";
import { keepEntry, keepInvitation, keepKey, keptEntry, keptInvitation, keptKey, type KeptEntry } from "./keep";
import { Devices } from "./media/devices";
import { Store } from "./store";

/** How often the page asks whether a session is live, and whether the door has opened. */
const LIVE_LOOK_MS = 5_000;
const LIVE_LOOK_MS_MAX = 15_000;
const DOOR_LOOK_MS = 4_000;
/** The server can't answer just now. */
const AWAY = ["NETWORK", "UNAVAILABLE", "TIMEOUT"];

/** Why the visit is over. */
export type Out = "left" | "ended" | "removed" | "denied" | "timedOut" | "withdrawn" | "moved" | "elsewhere";

export type Phase =
  | { at: "resuming" }
  | { at: "prejoin"; problem: string | null; busy: boolean }
  | { at: "notLive"; mayOpen: boolean; problem: string | null; busy: boolean }
  | { at: "lobby"; connection: Connection }
  | { at: "call"; call: Call }
  | { at: "out"; why: Out; receipt: Receipt | null; reading: boolean };

export class Visit {
  readonly phase = new Store<Phase>({ at: "resuming" });
  readonly way: Store<Way>;
  readonly name = new Store("");
  readonly devices = new Devices();
  private entry: KeptEntry | null = null;
  /** Whatever waits for something belongs to a turn; a later turn makes it stop. */
  private turn = 0;

  /** Whether the link had an invitation that is none. */
  private readonly isDamaged: boolean;
  /** Whether we wait at the desk. */
  private waits = false;

  constructor(readonly room: string) {
    const given = takeFragment();
    this.isDamaged = given === "damaged";
    const invitation = given === "damaged" ? null : (given ?? keptInvitation(room));
    if (invitation) keepInvitation(room, invitation);
    this.way = new Store<Way>(invitation ? { by: "invitation", invitation } : { by: "guest", password: "" });
  }

  /** Goes on where a reload has cut it, or begins. */
  async begin(): Promise<void> {
    const entry = keptEntry(this.room);
    if (entry) {
      try {
        if (await this.resume(entry)) return;
      } catch {
        // Not good any more, or never was: begin anew.
      }
      keepEntry(this.room, null);
    }
    const key = keptKey();
    if (key !== null && this.way.get().by === "guest") await this.signIn(key);
    this.prejoin(this.isDamaged ? "LINK_DAMAGED" : null);
  }

  /** Signs in with an API key; says whether it is one. */
  async signIn(key: string): Promise<string | null> {
    try {
      const way = await signIn(this.room, key.trim());
      keepKey(key.trim());
      this.way.set(way);
      if (this.name.get() === "" && way.by === "key") this.name.set(way.name);
      return null;
    } catch (error) {
      keepKey(null);
      return code(error);
    }
  }

  signOut(): void {
    keepKey(null);
    this.way.set({ by: "guest", password: "" });
  }

  async join(): Promise<void> {
    const turn = this.begins();
    this.phase.set({ at: "prejoin", problem: null, busy: true });
    try {
      const token = await joinToken(this.room, this.way.get());
      if (turn === this.turn) await this.come(token, turn);
    } catch (error) {
      if (turn !== this.turn) return;
      if (code(error) === "NO_LIVE_SESSION") await this.waitUntilLive(turn);
      else this.prejoin(code(error));
    }
  }

  /** Opens the session and comes in. */
  async open(): Promise<void> {
    const turn = this.begins();
    this.phase.set({ at: "notLive", mayOpen: true, problem: null, busy: true });
    try {
      await openSession(this.room, this.way.get());
      await this.come(await joinToken(this.room, this.way.get()), turn);
    } catch (error) {
      this.phase.set({ at: "notLive", mayOpen: true, problem: code(error), busy: false });
    }
  }

  prejoin(problem: string | null = null): void {
    this.begins();
    this.leavesDesk();
    this.phase.set({ at: "prejoin", problem, busy: false });
  }

  async leaveLobby(): Promise<void> {
    const entry = this.entry;
    this.begins();
    if (entry) {
      const api = new Api(entry.resumeSecret);
      await api.mutate<Payload>("withdrawKnock", operations.WITHDRAW_KNOCK, { sessionId: entry.sessionId }).catch(() => {});
    }
    this.over("withdrawn");
  }

  private async waitUntilLive(turn: number): Promise<void> {
    const mayOpen = this.way.get().by === "key";
    this.phase.set({ at: "notLive", mayOpen, problem: null, busy: false });
    for (let pause = LIVE_LOOK_MS; ; pause = Math.min(pause * 1.1, LIVE_LOOK_MS_MAX)) {
      await this.waitsAtDesk();
      if (turn !== this.turn) return;
      await sleep(pause);
      if (turn !== this.turn) return;
      try {
        const token = await joinToken(this.room, this.way.get());
        if (turn === this.turn) await this.come(token, turn);
        return;
      } catch (error) {
        if (turn !== this.turn) return;
        if (![...AWAY, "NO_LIVE_SESSION", "TOO_MANY_GUESTS"].includes(code(error))) return this.prejoin(code(error));
      }
    }
  }

  /** Whoever comes by an invitation is seen at the desk; that they come in by themselves doesn't hang on it. */
  private async waitsAtDesk(): Promise<void> {
    const way = this.way.get();
    if (way.by !== "invitation") return;
    this.waits = true;
    await waitAtDesk(way.invitation, this.name.get().trim()).catch(() => {});
  }

  private leavesDesk(): void {
    const way = this.way.get();
    if (this.waits && way.by === "invitation") void leaveDesk(way.invitation).catch(() => {});
    this.waits = false;
  }

  private async come(token: JoinToken, turn: number): Promise<void> {
    // The token ended the wait at the desk.
    this.waits = false;
    const entered = await atTheDoor(token, this.name.get().trim());
    if (turn === this.turn) this.enter(entered);
  }

  private enter(entered: Joined): void {
    const { sessionId, participantId, resumeSecret } = entered;
    if (!sessionId || !participantId || !resumeSecret) return this.prejoin("INTERNAL");
    this.entry = { sessionId, participantId, resumeSecret };
    keepEntry(this.room, this.entry);
    if (entered.state === "JOINED") this.call(this.entry, entered);
    else void this.lobby(this.entry);
  }

  private async resume(entry: KeptEntry): Promise<boolean> {
    const { viewer } = await new Api(entry.resumeSecret).query<{ viewer: Viewer }>(operations.VIEWER);
    this.entry = entry;
    switch (viewer.participantState) {
      case "JOINED":
      case "RECONNECTING":
      case "ON_HOLD":
        this.call(entry, null);
        return true;
      case "KNOCKING":
      case "ADMITTED":
        void this.lobby(entry);
        return true;
      default:
        return false;
    }
  }

  /** Waits at the door. The open socket shows that somebody is there. */
  private async lobby(entry: KeptEntry): Promise<void> {
    const turn = this.begins();
    const shows = (connection: Connection) => {
      if (turn === this.turn) this.phase.set({ at: "lobby", connection });
    };
    shows("connecting");
    const api = new Api(entry.resumeSecret, { connection: shows });
    let changed = () => {};
    const stop = api.subscribe(operations.DOOR_CHANGED, { id: entry.sessionId }, () => changed(), () => {});
    try {
      while (turn === this.turn) {
        const looked = await api.query<{ viewer: Viewer }>(operations.VIEWER).catch((error: unknown) => {
          // A server that is away comes back, and knows who waited.
          if (AWAY.includes(code(error))) return null;
          throw error;
        });
        if (turn !== this.turn) return;
        if (looked === null) continue;
        const { viewer } = looked;
        if (viewer.participantState === "ADMITTED" || viewer.participantState === "JOINED") {
          const input = { sessionId: entry.sessionId };
          const joined = await api.mutate<Joined>("joinSession", operations.JOIN_SESSION, input);
          if (turn === this.turn) this.call(entry, joined);
          return;
        }
        const over = OVER[viewer.participantState ?? "LEFT"];
        if (over) return this.over(over);
        await Promise.race([sleep(DOOR_LOOK_MS), new Promise<void>((done) => (changed = done))]);
      }
    } catch (error) {
      if (turn === this.turn) {
        if (["SESSION_NOT_LIVE", "UNAUTHENTICATED", "FORBIDDEN"].includes(code(error))) this.over("ended");
        else this.prejoin(code(error));
      }
    } finally {
      stop();
      // The socket goes a moment later, so that the call's is there before: nobody is taken for gone.
      setTimeout(() => api.close(), DOOR_LOOK_MS);
    }
  }

  private call(entry: KeptEntry, joined: Joined | null): void {
    this.begins();
    const call = new Call(entry, this.devices, joined, (why) => this.over(why));
    this.phase.set({ at: "call", call });
  }

  private over(why: Out): void {
    const turn = this.begins();
    const entry = this.entry;
    this.devices.stop();
    keepEntry(this.room, null);
    this.phase.set({ at: "out", why, receipt: null, reading: entry !== null });
    if (entry) void this.readReceipt(entry, why, turn);
  }

  /** What the record says of this participant; asked again until the log's signed head covers the end. */
  private async readReceipt(entry: KeptEntry, why: Out, turn: number): Promise<void> {
    const api = new Api(entry.resumeSecret);
    for (let tries = 0; tries < 4 && turn === this.turn; tries += 1) {
      const ids = { id: entry.sessionId, participant: entry.participantId };
      const receipt = await api.query<Receipt>(operations.RECEIPT, ids).catch(() => null);
      if (turn !== this.turn) return;
      this.phase.set({ at: "out", why, receipt: receipt?.session ? receipt : null, reading: false });
      const covered = receipt?.session && Number(receipt.checkpoint?.treeSize ?? 0) >= Number(receipt.session.position);
      if (covered || !receipt?.session) return;
      await sleep(1_500);
    }
  }

  private begins(): number {
    this.turn += 1;
    return this.turn;
  }
}

const OVER: Partial<Record<string, Out>> = {
  DENIED: "denied",
  TIMED_OUT: "timedOut",
  WITHDRAWN: "withdrawn",
  LEFT: "ended",
  REMOVED: "removed",
  MOVED: "moved",
};

export function code(error: unknown): string {
  return error instanceof ApiError ? error.code : "INTERNAL";
}
