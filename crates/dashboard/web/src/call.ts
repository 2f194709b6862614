// The call as it stands: who is there, what is said, how we are connected. The server tells; the page shows.

import { Api, ApiError, sleep, type Connection } from "./api/client";
import * as operations from "./api/operations";
import { hosts, isIn, type Id, type Message, type Participant, type Payload, type Session, type Source, type Viewer } from "./api/types";
import type { Joined } from "./entry";
import type { KeptEntry } from "./keep";
import { carriesMedia } from "./media/carries";
import type { Devices } from "./media/devices";
import { MediaLink } from "./media/link";
import { Store } from "./store";
import type { Out } from "./visit";

const CHAT_LOOK_MS = 2_500;
const NOTICE_MS = 6_000;
const AGAIN_MS = 1_000;
const NOTICES_MAX = 4;

/** Something that is said once: to the eye for a while, to a screen reader at once. */
export interface Notice {
  number: number;
  kind: "joined" | "left" | "waits" | "problem" | "hostMuted" | "hostUnmuted" | "held" | "released" | "locked" | "unlocked" | "back";
  who: string | null;
}

export interface CallState {
  session: Session | null;
  connection: Connection;
  messages: Message[];
  unread: number;
  notices: Notice[];
  sharing: boolean;
  media: boolean;
}

interface MessagePage {
  session: { messages: { edges: { node: Message }[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } } | null;
}

export class Call {
  readonly state: Store<CallState>;
  readonly me: Id;
  readonly link: MediaLink | null;
  private readonly api: Api;
  private readonly sessionId: Id;
  private over = false;
  private notice = 0;
  private screen: MediaStream | null = null;
  private cursor: string | null = null;
  private pulling: Promise<void> | null = null;
  private chatIsOpen = false;
  /** Whether the messages from before one came have been read: none of them is new. */
  private chatIsRead = false;

  constructor(
    entry: KeptEntry,
    private readonly devices: Devices,
    joined: Joined | null,
    private readonly out: (why: Out) => void,
  ) {
    this.me = entry.participantId;
    this.sessionId = entry.sessionId;
    const media = carriesMedia() && (joined === null || Boolean(joined.media));
    this.state = new Store<CallState>({
      session: null,
      connection: "connecting",
      messages: [],
      unread: 0,
      notices: [],
      sharing: false,
      media,
    });
    this.api = new Api(entry.resumeSecret, { connection: (connection) => this.connected(connection) });
    this.link = media ? new MediaLink(this.api, this.sessionId, (type) => this.happened(type)) : null;
    this.follow();
    void this.look();
    void this.chat();
    void this.begin(joined);
  }

  get self(): Participant | null {
    return this.state.get().session?.participants.find(({ id }) => id === this.me) ?? null;
  }

  get isHost(): boolean {
    return this.self !== null && hosts(this.self.role);
  }

  /** Whether this participant may be heard or seen at all. */
  mayPublish(source: Source): boolean {
    const { self, state } = this;
    const session = state.get().session;
    if (!self || !session || self.held || self.role === "OBSERVER" || self.muted.includes(source)) return false;
    const { whoMayPublish, screenShare } = session.settings.values;
    if (whoMayPublish === "HOSTS" && !hosts(self.role)) return false;
    return screenShare || !source.startsWith("SCREEN");
  }

  async toggle(source: "MICROPHONE" | "CAMERA"): Promise<void> {
    const link = this.link;
    if (!link) return;
    const kind = source === "CAMERA" ? "camera" : "microphone";
    try {
      if (link.state.get().own.get(source) === false) {
        await link.setPaused(source, true);
        // The camera's light goes off; a microphone is only not sent, so that it is back at once.
        if (kind === "camera") this.devices.turnOff(kind);
      } else if (this.mayPublish(source)) {
        const track = this.devices.state.get()[kind] ?? (await this.devices.turnOn(kind));
        if (track) await link.publish(source, track);
      }
    } catch {
      this.tell("problem");
    }
  }

  /** Another camera or microphone, also in mid-call. */
  async choose(kind: "camera" | "microphone", id: string): Promise<void> {
    const source = kind === "camera" ? "CAMERA" : "MICROPHONE";
    const track = await this.devices.turnOn(kind, id);
    if (track && this.link?.state.get().own.get(source) === false) await this.link.publish(source, track);
  }

  async shareScreen(): Promise<void> {
    const link = this.link;
    if (!link) return;
    if (this.screen) return this.stopSharing();
    try {
      const screen = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
      this.screen = screen;
      this.patch({ sharing: true });
      const [video] = screen.getVideoTracks();
      const [audio] = screen.getAudioTracks();
      // The browser's own button ends it too.
      video?.addEventListener("ended", () => void this.stopSharing());
      if (video) {
        video.contentHint = "detail";
        await link.publish("SCREEN", video);
      }
      if (audio) await link.publish("SCREEN_AUDIO", audio);
    } catch (error) {
      await this.stopSharing();
      // Who closes the browser's dialog wants nothing more.
      if (!(error instanceof DOMException && error.name === "NotAllowedError")) this.tell("problem");
    }
  }

  async send(text: string): Promise<boolean> {
    const said = await this.acts("sendMessage", operations.SEND_MESSAGE, { text });
    if (said) await this.pull();
    return said;
  }

  chatShown(open: boolean): void {
    this.chatIsOpen = open;
    if (!open) return;
    this.patch({ unread: 0 });
    void this.pull();
  }

  /** A host's action, or one's own consent. Says whether it was done; a refusal is shown. */
  async acts(name: string, document: string, input: Record<string, unknown> = {}): Promise<boolean> {
    try {
      await this.api.mutate<Payload>(name, document, { sessionId: this.sessionId, ...input });
      return true;
    } catch {
      this.tell("problem");
      return false;
    }
  }

  async leave(): Promise<void> {
    // The page doesn't wait for the network to be gone; the server notices a silent one after 30 s.
    const left = this.api.mutate<Payload>("leaveSession", operations.LEAVE_SESSION, { sessionId: this.sessionId });
    await Promise.race([left.catch(() => {}), sleep(3_000)]);
    this.ends("left");
  }

  async endForAll(): Promise<void> {
    if (await this.acts("endSession", operations.END_SESSION)) this.ends("ended");
  }

  private async begin(joined: Joined | null): Promise<void> {
    const link = this.link;
    if (!link) return;
    try {
      if (joined?.media) await link.start(joined.media);
      else {
        await this.devices.start();
        await link.anew();
      }
      while (!this.state.get().session && !this.over) await sleep(50);
      const { microphone, camera } = this.devices.state.get();
      if (microphone && this.mayPublish("MICROPHONE")) await link.publish("MICROPHONE", microphone);
      if (camera && this.mayPublish("CAMERA")) await link.publish("CAMERA", camera);
    } catch (error) {
      if (!this.over) {
        console.error("media did not start", error);
        void link.anew();
      }
    }
  }

  /** The session now, and whenever it changes. */
  private follow(): void {
    this.api.subscribe<{ sessionChanged: Session | null }>(
      operations.SESSION_CHANGED,
      { id: this.sessionId },
      ({ sessionChanged }) => sessionChanged && this.shows(sessionChanged),
      () => {
        if (this.over) return;
        void this.stand();
        void sleep(AGAIN_MS).then(() => this.over || this.follow());
      },
    );
  }

  /** One look, for what changed while there was no connection. */
  private async look(): Promise<void> {
    const answer = await this.api.query<{ session: Session | null }>(operations.SESSION, { id: this.sessionId }).catch(() => null);
    if (answer?.session) this.shows(answer.session);
  }

  /** Whether we still are in; asked when the session is not shown to us any more. */
  private async stand(): Promise<void> {
    try {
      const { viewer } = await this.api.query<{ viewer: Viewer }>(operations.VIEWER);
      this.standsAs(viewer.participantState);
    } catch (error) {
      if (error instanceof ApiError && error.code === "UNAUTHENTICATED") this.ends("elsewhere");
    }
  }

  private standsAs(state: Viewer["participantState"]): void {
    if (state === "REMOVED") this.ends("removed");
    else if (state === "MOVED") this.ends("moved");
    else if (state === "LEFT") this.ends("elsewhere");
  }

  private shows(session: Session): void {
    if (this.over) return;
    const before = this.state.get().session;
    this.patch({ session });
    if (session.status === "CLOSED") return this.ends("ended");
    const self = session.participants.find(({ id }) => id === this.me);
    if (self && !isIn(self)) return this.standsAs(self.state);
    if (before) this.tellChanges(before, session);
    const here = new Set(session.participants.filter(isIn).map(({ id }) => id));
    this.link?.forget((participant) => !here.has(participant));
  }

  private tellChanges(before: Session, now: Session): void {
    const earlier = new Map(before.participants.map((participant) => [participant.id, participant]));
    for (const participant of now.participants) {
      const was = earlier.get(participant.id);
      const name = participant.displayName.value;
      if (participant.id === this.me) {
        this.tellOwn(was ?? participant, participant);
        continue;
      }
      const wasIn = was !== undefined && isIn(was);
      if (!wasIn && isIn(participant)) this.tell("joined", name);
      if (wasIn && !isIn(participant)) this.tell("left", name);
      if (was?.state !== "KNOCKING" && participant.state === "KNOCKING" && this.isHost) this.tell("waits", name);
    }
    if (before.locked !== now.locked) this.tell(now.locked ? "locked" : "unlocked");
  }

  private tellOwn(was: Participant, now: Participant): void {
    if (was.held !== now.held) {
      this.tell(now.held ? "held" : "released");
      this.link?.hold(now.held);
      if (now.held) void this.stopSharing();
    }
    for (const source of ["MICROPHONE", "CAMERA", "SCREEN"] as const) {
      const muted = now.muted.includes(source);
      if (muted === was.muted.includes(source)) continue;
      this.tell(muted ? "hostMuted" : "hostUnmuted");
      if (!muted) continue;
      if (source === "SCREEN") void this.stopSharing();
      else void this.link?.setPaused(source, true).catch(() => {});
      if (source === "CAMERA") this.devices.turnOff("camera");
    }
  }

  private async stopSharing(): Promise<void> {
    this.screen?.getTracks().forEach((track) => track.stop());
    this.screen = null;
    this.patch({ sharing: false });
    for (const source of ["SCREEN", "SCREEN_AUDIO"] as const) await this.link?.unpublish(source).catch(() => {});
  }

  private happened(type: string): void {
    if (type.startsWith("Message")) void this.pull();
  }

  private connected(connection: Connection): void {
    const before = this.state.get().connection;
    this.patch({ connection });
    if (connection === "refused") void this.stand();
    if (connection === "online" && before === "lost") {
      this.tell("back");
      void this.look();
      void this.pull();
    }
  }

  private async chat(): Promise<void> {
    while (!this.over) {
      const { session, connection } = this.state.get();
      if (session?.settings.values.chat && connection === "online") await this.pull();
      await sleep(document.hidden ? 4 * CHAT_LOOK_MS : CHAT_LOOK_MS);
    }
  }

  /** Reads the messages after those that we have; one reading at a time. */
  private pull(): Promise<void> {
    this.pulling ??= this.readMessages().finally(() => (this.pulling = null));
    return this.pulling;
  }

  private async readMessages(): Promise<void> {
    for (;;) {
      const variables = { id: this.sessionId, after: this.cursor };
      const page = await this.api.query<MessagePage>(operations.MESSAGES, variables).catch(() => null);
      if (!page?.session || this.over) return;
      const { edges, pageInfo } = page.session.messages;
      const news = edges.map(({ node }) => node);
      if (news.length > 0) {
        const others = !this.chatIsRead || this.chatIsOpen ? 0 : news.filter(({ authorId }) => authorId !== this.me).length;
        this.cursor = pageInfo.endCursor;
        this.state.update((state) => ({ ...state, messages: [...state.messages, ...news], unread: state.unread + others }));
      }
      if (!pageInfo.hasNextPage) {
        this.chatIsRead = true;
        return;
      }
    }
  }

  private tell(kind: Notice["kind"], who: string | null = null): void {
    const number = (this.notice += 1);
    this.state.update((state) => ({ ...state, notices: [...state.notices, { number, kind, who }].slice(-NOTICES_MAX) }));
    setTimeout(() => {
      this.state.update((state) => ({ ...state, notices: state.notices.filter((notice) => notice.number !== number) }));
    }, NOTICE_MS);
  }

  private ends(why: Out): void {
    if (this.over) return;
    this.over = true;
    this.screen?.getTracks().forEach((track) => track.stop());
    this.link?.close();
    this.api.close();
    this.out(why);
  }

  private patch(change: Partial<CallState>): void {
    this.state.update((state) => ({ ...state, ...change }));
  }
}
