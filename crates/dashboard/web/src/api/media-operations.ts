// The documents by which a call's audio and video are signalled.

export const MEDIA_ENTRANCE = `fragment Entrance on MediaEntrance {
  routerRtpCapabilities
  sendTransport { id iceParameters iceCandidates dtlsParameters sctpParameters }
  receiveTransport { id iceParameters iceCandidates dtlsParameters sctpParameters }
  iceServers { urls username credential }
}`;

export const ENTER_MEDIA = `mutation EnterMedia($input: EnterMediaInput!) {
  enterMedia(input: $input) { media { ...Entrance } userErrors { field message code } }
}
${MEDIA_ENTRANCE}`;

export const CONNECT_TRANSPORT = `mutation ConnectTransport($input: ConnectTransportInput!) {
  connectTransport(input: $input) { userErrors { field message code } }
}`;

export const PUBLISH_STREAM = `mutation PublishStream($input: PublishStreamInput!) {
  publishStream(input: $input) { streamId userErrors { field message code } }
}`;

export const SET_STREAM_PAUSED = `mutation SetStreamPaused($input: SetStreamPausedInput!) {
  setStreamPaused(input: $input) { userErrors { field message code } }
}`;

export const UNPUBLISH_STREAM = `mutation UnpublishStream($input: UnpublishStreamInput!) {
  unpublishStream(input: $input) { userErrors { field message code } }
}`;

export const ACKNOWLEDGE_OFFER = `mutation AcknowledgeOffer($input: AcknowledgeOfferInput!) {
  acknowledgeOffer(input: $input) { userErrors { field message code } }
}`;

export const SET_PREFERRED_LAYERS = `mutation SetPreferredLayers($input: SetPreferredLayersInput!) {
  setPreferredLayers(input: $input) { userErrors { field message code } }
}`;

export const RESTART_ICE = `mutation RestartIce($input: RestartIceInput!) {
  restartIce(input: $input) { iceParameters userErrors { field message code } }
}`;

export const SESSION_SIGNALS = `subscription SessionSignals($id: ID!, $rtpCapabilities: JSON) {
  sessionSignals(sessionId: $id, rtpCapabilities: $rtpCapabilities) {
    __typename
    ... on StreamOffered { offerId streamId participantId source kind rtpParameters paused }
    ... on OfferPaused { offerId }
    ... on OfferResumed { offerId }
    ... on OfferClosed { offerId }
    ... on ActiveSpeaker { participantId }
    ... on AudioLevels { levels { participantId dbov } }
    ... on OfferScore { offerId score }
    ... on OfferLayers { offerId spatialLayer temporalLayer }
    ... on MediaRestarted { reason }
    ... on EventSignal { position event { type } }
  }
}`;
