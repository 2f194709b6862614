// What the server says about media, as the API's subscription and payloads give it.

import type { types } from "mediasoup-client";
import type { Id, Payload, Source } from "../api/types";

export interface TransportParameters {
  id: string;
  iceParameters: types.IceParameters;
  iceCandidates: types.IceCandidate[];
  dtlsParameters: types.DtlsParameters;
  sctpParameters: types.SctpParameters | null;
}

export interface MediaEntrance {
  routerRtpCapabilities: types.RtpCapabilities;
  sendTransport: TransportParameters;
  receiveTransport: TransportParameters;
  iceServers: { urls: string[]; username: string | null; credential: string | null }[];
}

export type Signal =
  | {
      __typename: "StreamOffered";
      offerId: Id;
      streamId: Id;
      participantId: Id;
      source: Source;
      kind: types.MediaKind | "AUDIO" | "VIDEO";
      rtpParameters: types.RtpParameters;
      paused: boolean;
    }
  | { __typename: "OfferPaused" | "OfferResumed" | "OfferClosed"; offerId: Id }
  | { __typename: "ActiveSpeaker"; participantId: Id | null }
  | { __typename: "AudioLevels"; levels: { participantId: Id; dbov: number }[] }
  | { __typename: "OfferScore"; offerId: Id; score: number }
  | { __typename: "OfferLayers"; offerId: Id; spatialLayer: number | null; temporalLayer: number | null }
  | { __typename: "MediaRestarted"; reason: string }
  | { __typename: "EventSignal"; position: string; event: { type: string } };

export interface EnterMediaPayload extends Payload {
  media: MediaEntrance | null;
}

export interface PublishPayload extends Payload {
  streamId: Id | null;
}

export interface RestartIcePayload extends Payload {
  iceParameters: types.IceParameters | null;
}
