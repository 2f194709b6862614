// Audio and video of one call: what we send and what we receive, over mediasoup-client, signalled through the API.
//
// Whatever goes wrong ends in one of two ways: ICE is restarted (the path has changed), or everything is made anew (the
// node has forgotten us). Both happen by themselves; what the person sees is a banner.

import { Device, type types } from "mediasoup-client";
import type { Api } from "../api/client";
import { ApiError, sleep } from "../api/client";
import * as operations from "../api/media-operations";
import type { Id, Payload, Source } from "../api/types";
import { Store } from "../store";
import { measure, type Quality, type Totals } from "./quality";
import type { EnterMediaPayload, MediaEntrance, PublishPayload, RestartIcePayload, Signal } from "./protocol";

/** How long a path may be gone before ICE is restarted, and how long that may take before everything is made anew. */
const ICE_PATIENCE_MS = 2_000;
const ICE_RESTART_MS = 6_000;
const ANEW_PAUSE_MS = 1_000;
const ANEW_PAUSE_MS_MAX = 10_000;
const QUALITY_MS = 3_000;

/** The layers of a camera's picture: each is chosen by the receivers' tiles. */
const CAMERA_LAYERS: types.RtpEncodingParameters[] = [
  { scaleResolutionDownBy: 4, maxBitrate: 150_000, scalabilityMode: "L1T3" },
  { scaleResolutionDownBy: 2, maxBitrate: 500_000, scalabilityMode: "L1T3" },
  { scaleResolutionDownBy: 1, maxBitrate: 1_500_000, scalabilityMode: "L1T3" },
];

/** A stream of someone else. */
export interface Remote {
  offerId: Id;
  streamId: Id;
  participantId: Id;
  source: Source;
  track: MediaStreamTrack;
  paused: boolean;
  score: number | null;
}

export type LinkStatus = "connecting" | "connected" | "trouble";

export interface LinkState {
  status: LinkStatus;
  remotes: ReadonlyMap<Id, Remote>;
  /** What we publish, and whether it is paused. */
  own: ReadonlyMap<Source, boolean>;
  speaker: Id | null;
  levels: ReadonlyMap<Id, number>;
  quality: Quality;
}

interface Ends {
  device: Device;
  send: types.Transport;
  receive: types.Transport;
}

export class MediaLink {
  readonly state = new Store<LinkState>({
    status: "connecting",
    remotes: new Map(),
    own: new Map(),
    speaker: null,
    levels: new Map(),
    quality: "unknown",
  });

  private ends: Ends | null = null;
  private readonly producers = new Map<Source, types.Producer>();
  private readonly onHold = new Set<Source>();
  private readonly consumers = new Map<Id, types.Consumer>();
  private unsubscribe: (() => void) | null = null;
  private renewing = false;
  private closed = false;
  private totals: Totals | null = null;
  private readonly timer = setInterval(() => void this.measureQuality(), QUALITY_MS);

  constructor(
    private readonly api: Api,
    private readonly sessionId: Id,
    private readonly onEvent: (type: string) => void,
  ) {}

  async start(entrance: MediaEntrance): Promise<void> {
    const device = await Device.factory();
    await device.load({ routerRtpCapabilities: entrance.routerRtpCapabilities });
    const iceServers = entrance.iceServers.map(({ urls, username, credential }) => ({
      urls,
      ...(username === null ? {} : { username }),
      ...(credential === null ? {} : { credential }),
    }));
    const options = ({ id, iceParameters, iceCandidates, dtlsParameters }: MediaEntrance["sendTransport"]) => ({
      id,
      iceParameters,
      iceCandidates,
      dtlsParameters,
      iceServers,
    });
    const send = device.createSendTransport(options(entrance.sendTransport));
    const receive = device.createRecvTransport(options(entrance.receiveTransport));
    if (this.closed) {
      send.close();
      receive.close();
      return;
    }
    this.ends = { device, send, receive };
    for (const transport of [send, receive]) this.tend(transport);
    send.on("produce", ({ kind, rtpParameters, appData }, done, failed) => {
      const { source, muted } = appData as { source: Source; muted: boolean };
      const input = { source, kind: kind.toUpperCase(), rtpParameters, muted };
      this.does<PublishPayload>("publishStream", operations.PUBLISH_STREAM, input)
        .then((answer) => done({ id: answer.streamId ?? "" }))
        .catch(failed);
    });
    this.listen();
    this.patch({ status: "connected" });
  }

  /** Sends a track, or goes on sending in the stream that there is. */
  async publish(source: Source, track: MediaStreamTrack): Promise<void> {
    const producer = this.producers.get(source);
    if (producer && !producer.closed) {
      if (producer.track !== track) await producer.replaceTrack({ track });
      if (producer.paused) await this.setPaused(source, false);
      return;
    }
    await this.produce(source, track, false);
  }

  /** Our own mute: nothing more is sent, and the server knows. */
  async setPaused(source: Source, paused: boolean): Promise<void> {
    const producer = this.producers.get(source);
    if (!producer || producer.closed) return;
    this.onHold.delete(source);
    if (paused) producer.pause();
    else producer.resume();
    this.ownChanged();
    await this.does("setStreamPaused", operations.SET_STREAM_PAUSED, { streamId: producer.id, paused });
  }

  async unpublish(source: Source): Promise<void> {
    const producer = this.producers.get(source);
    if (!producer) return;
    this.drop(source);
    await this.does("unpublishStream", operations.UNPUBLISH_STREAM, { streamId: producer.id });
  }

  /** The server ended our stream, or a host did: what we hold of it goes, and can be published again. */
  drop(source: Source): void {
    this.producers.get(source)?.close();
    this.producers.delete(source);
    this.ownChanged();
  }

  /** On hold nothing leaves this device, and what was sent before goes on afterwards. The server enforces it anyway. */
  hold(held: boolean): void {
    for (const [source, producer] of this.producers) {
      if (held && !producer.paused) {
        producer.pause();
        this.onHold.add(source);
      } else if (!held && this.onHold.delete(source)) {
        producer.resume();
      }
    }
    this.ownChanged();
  }

  /** Asks for the layer that fits a tile of this width. */
  prefer(offerId: Id, width: number): void {
    const spatialLayer = width > 640 ? 2 : width > 240 ? 1 : 0;
    const input = { offerId, spatialLayer, temporalLayer: 2 };
    this.does("setPreferredLayers", operations.SET_PREFERRED_LAYERS, input).catch(ignored);
  }

  /** Nothing of a participant who has gone stays. */
  forget(gone: (participant: Id) => boolean): void {
    for (const remote of [...this.state.get().remotes.values()]) {
      if (gone(remote.participantId)) this.closeOffer(remote.offerId);
    }
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.unsubscribe?.();
    this.closeEnds();
  }

  /** New transports, and everything that was published is published again, as it was. */
  async anew(): Promise<void> {
    if (this.renewing || this.closed) return;
    this.renewing = true;
    this.patch({ status: "trouble" });
    const before = [...this.producers].map(([source, producer]) => ({ source, track: producer.track, paused: producer.paused }));
    this.unsubscribe?.();
    this.closeEnds();
    for (let pause = ANEW_PAUSE_MS; !this.closed; pause = Math.min(2 * pause, ANEW_PAUSE_MS_MAX)) {
      try {
        const answer = await this.does<EnterMediaPayload>("enterMedia", operations.ENTER_MEDIA, {});
        if (answer.media) {
          await this.start(answer.media);
          for (const { source, track, paused } of before) {
            if (track && track.readyState === "live") await this.produce(source, track, paused);
          }
          break;
        }
      } catch (error) {
        if (error instanceof ApiError && ["FORBIDDEN", "SESSION_NOT_LIVE", "PARTICIPANT_NOT_IN"].includes(error.code)) break;
      }
      await sleep(pause);
    }
    this.renewing = false;
  }

  private async produce(source: Source, track: MediaStreamTrack, muted: boolean): Promise<void> {
    const send = this.ends?.send;
    if (!send) return;
    const producer = await send.produce({
      track,
      stopTracks: false,
      zeroRtpOnPause: true,
      ...(source === "CAMERA" ? { encodings: CAMERA_LAYERS, codecOptions: { videoGoogleStartBitrate: 800 } } : {}),
      ...(source === "MICROPHONE" ? { codecOptions: { opusDtx: true, opusFec: true } } : {}),
      appData: { source, muted },
    });
    if (muted) producer.pause();
    this.producers.set(source, producer);
    producer.observer.on("close", () => this.ownChanged());
    this.ownChanged();
  }

  /** Connects a transport when it is first used, and mends its path. */
  private tend(transport: types.Transport): void {
    transport.on("connect", ({ dtlsParameters }, done, failed) => {
      this.does("connectTransport", operations.CONNECT_TRANSPORT, { transportId: transport.id, dtlsParameters })
        .then(() => done())
        .catch(failed);
    });
    let broken: ReturnType<typeof setTimeout> | undefined;
    transport.on("connectionstatechange", (state) => {
      clearTimeout(broken);
      if (state === "failed") void this.mend(transport);
      if (state === "disconnected") {
        this.patch({ status: "trouble" });
        broken = setTimeout(() => void this.mend(transport), ICE_PATIENCE_MS);
      }
      if (state === "connected" && !this.renewing) this.patch({ status: "connected" });
    });
  }

  private async mend(transport: types.Transport): Promise<void> {
    if (transport.closed || this.closed || this.renewing) return;
    this.patch({ status: "trouble" });
    try {
      const input = { transportId: transport.id };
      const answer = await this.does<RestartIcePayload>("restartIce", operations.RESTART_ICE, input);
      if (answer.iceParameters && !transport.closed) {
        await transport.restartIce({ iceParameters: answer.iceParameters });
        await sleep(ICE_RESTART_MS);
        if (transport.closed || transport.connectionState === "connected") return;
      }
    } catch {
      // The node may not know the transport any more.
    }
    if (!transport.closed) await this.anew();
  }

  private listen(): void {
    const ends = this.ends;
    if (!ends) return;
    const variables = { id: this.sessionId, rtpCapabilities: ends.device.recvRtpCapabilities };
    this.unsubscribe = this.api.subscribe<{ sessionSignals: Signal }>(
      operations.SESSION_SIGNALS,
      variables,
      ({ sessionSignals }) => void this.hear(sessionSignals),
      (error) => {
        if (this.closed || this.ends !== ends) return;
        // Who is out is told by the session itself.
        if (error && ["FORBIDDEN", "SESSION_NOT_LIVE", "UNAUTHENTICATED"].includes(error.code)) return;
        void sleep(ANEW_PAUSE_MS).then(() => {
          if (!this.closed && this.ends === ends) this.listen();
        });
      },
    );
  }

  private async hear(signal: Signal): Promise<void> {
    switch (signal.__typename) {
      case "StreamOffered":
        return this.take(signal);
      case "OfferPaused":
      case "OfferResumed":
        return this.remoteChanged(signal.offerId, { paused: signal.__typename === "OfferPaused" });
      case "OfferClosed":
        return this.closeOffer(signal.offerId);
      case "OfferScore":
        return this.remoteChanged(signal.offerId, { score: signal.score });
      case "ActiveSpeaker":
        return this.patch({ speaker: signal.participantId });
      case "AudioLevels":
        return this.patch({ levels: new Map(signal.levels.map(({ participantId, dbov }) => [participantId, dbov])) });
      case "MediaRestarted":
        return this.anew();
      case "EventSignal":
        return this.onEvent(signal.event.type);
      case "OfferLayers":
        return;
    }
  }

  private async take(offer: Extract<Signal, { __typename: "StreamOffered" }>): Promise<void> {
    const ends = this.ends;
    if (!ends) return;
    if (!this.consumers.has(offer.offerId)) {
      // An offer of a stream that we have by another one replaces that: after a reconnection all are offered again.
      for (const remote of [...this.state.get().remotes.values()]) {
        if (remote.streamId === offer.streamId) this.closeOffer(remote.offerId);
      }
      try {
        const consumer = await ends.receive.consume({
          id: offer.offerId,
          producerId: offer.streamId,
          kind: offer.kind.toLowerCase() as types.MediaKind,
          rtpParameters: offer.rtpParameters,
          streamId: `${offer.participantId}-${offer.source.startsWith("SCREEN") ? "screen" : "person"}`,
        });
        this.consumers.set(offer.offerId, consumer);
        const { offerId, streamId, participantId, source, paused } = offer;
        const remote = { offerId, streamId, participantId, source, paused, track: consumer.track, score: null };
        this.setRemotes((remotes) => remotes.set(offerId, remote));
      } catch (error) {
        if (!ends.receive.closed) console.error("an offered stream can't be received", error);
        return;
      }
    } else {
      this.remoteChanged(offer.offerId, { paused: offer.paused });
    }
    await this.does("acknowledgeOffer", operations.ACKNOWLEDGE_OFFER, { offerId: offer.offerId }).catch(ignored);
  }

  private closeOffer(offerId: Id): void {
    this.consumers.get(offerId)?.close();
    this.consumers.delete(offerId);
    this.setRemotes((remotes) => remotes.delete(offerId));
  }

  private closeEnds(): void {
    this.ends?.send.close();
    this.ends?.receive.close();
    this.ends = null;
    this.producers.clear();
    this.consumers.clear();
    this.totals = null;
    this.patch({ remotes: new Map(), own: new Map(), levels: new Map(), speaker: null });
  }

  private async measureQuality(): Promise<void> {
    const ends = this.ends;
    if (!ends || ends.send.closed) return;
    const measured = await measure([ends.send, ends.receive], this.totals);
    this.totals = measured.totals;
    this.patch({ quality: measured.quality });
  }

  private does<Answer extends Payload>(name: string, document: string, input: Record<string, unknown>): Promise<Answer> {
    return this.api.mutate<Answer>(name, document, { sessionId: this.sessionId, ...input });
  }

  private ownChanged(): void {
    const own = new Map<Source, boolean>();
    for (const [source, producer] of this.producers) if (!producer.closed) own.set(source, producer.paused);
    this.patch({ own });
  }

  private remoteChanged(offerId: Id, change: Partial<Remote>): void {
    const remote = this.state.get().remotes.get(offerId);
    if (remote) this.setRemotes((remotes) => remotes.set(offerId, { ...remote, ...change }));
  }

  private setRemotes(change: (remotes: Map<Id, Remote>) => unknown): void {
    const remotes = new Map(this.state.get().remotes);
    change(remotes);
    this.patch({ remotes });
  }

  private patch(change: Partial<LinkState>): void {
    this.state.update((state) => ({ ...state, ...change }));
  }
}

/** What it asked is a wish: the call goes on without. */
function ignored(): void {}
