// Every document that the page sends. `npm run check` holds them to schema.graphql.

export const SESSION_PARTS = `fragment SessionParts on Session {
  id
  status
  endReason
  locked
  presentCount
  waitingCount
  startedAt
  finishedAt
  durationEndsAt
  room { name }
  settings { values { chat screenShare whoMayPublish layout recording consentBeforeRecording transcription { language } } }
  participants {
    id
    displayName { value erased }
    role
    state
    held
    muted
    since
    joinedAt
    consents { purpose withdrawnAt givenAt }
  }
}`;

export const VIEWER = `query Viewer {
  viewer { kind sessionId participantId participantState user { name { value } } }
}`;

export const ROOM = `query Room($id: ID!) {
  room(id: $id) { id name status liveSessionId }
}`;

export const CREATE_JOIN_TOKEN = `mutation CreateJoinToken($input: CreateJoinTokenInput!) {
  createJoinToken(input: $input) { joinToken lobby role sessionId expiresAt userErrors { field message code } }
}`;

export const EXCHANGE_INVITATION = `mutation ExchangeInvitation($input: ExchangeInvitationInput!) {
  exchangeInvitation(input: $input) { joinToken lobby role sessionId expiresAt userErrors { field message code } }
}`;

export const WAIT_AT_DESK = `mutation WaitAtDesk($input: WaitAtDeskInput!) {
  waitAtDesk(input: $input) { userErrors { field message code } }
}`;

export const LEAVE_DESK = `mutation LeaveDesk($input: LeaveDeskInput!) {
  leaveDesk(input: $input) { userErrors { field message code } }
}`;

export const OPEN_SESSION = `mutation OpenSession($input: OpenSessionInput!) {
  openSession(input: $input) { session { id status } position userErrors { field message code } }
}`;

export const KNOCK = `mutation Knock($input: KnockInput!) {
  knock(input: $input) { participantId sessionId state resumeSecret userErrors { field message code } }
}`;

export const JOIN_SESSION = `mutation JoinSession($input: JoinSessionInput!) {
  joinSession(input: $input) { participantId sessionId state resumeSecret userErrors { field message code } }
}`;

export const WITHDRAW_KNOCK = `mutation WithdrawKnock($input: SessionInput!) {
  withdrawKnock(input: $input) { userErrors { field message code } }
}`;

export const DOOR_CHANGED = `subscription DoorChanged($id: ID!) {
  sessionChanged(sessionId: $id) { id status }
}`;

export const SESSION = `query Session($id: ID!) {
  session(id: $id) { ...SessionParts }
}
${SESSION_PARTS}`;

export const SESSION_CHANGED = `subscription SessionChanged($id: ID!) {
  sessionChanged(sessionId: $id) { ...SessionParts }
}
${SESSION_PARTS}`;

export const MESSAGES = `query Messages($id: ID!, $after: String) {
  session(id: $id) {
    messages(first: 100, after: $after) {
      edges { cursor node { id authorId sentAt removedAt text { value erased } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

export const SEND_MESSAGE = `mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) { messageId userErrors { field message code } }
}`;

export const LEAVE_SESSION = `mutation LeaveSession($input: SessionInput!) {
  leaveSession(input: $input) { userErrors { field message code } }
}`;

export const RESUME_PARTICIPATION = `mutation ResumeParticipation($input: SessionInput!) {
  resumeParticipation(input: $input) { userErrors { field message code } }
}`;

export const END_SESSION = `mutation EndSession($input: SessionInput!) {
  endSession(input: $input) { userErrors { field message code } }
}`;

export const LOCK_SESSION = `mutation LockSession($input: SessionInput!) {
  lockSession(input: $input) { userErrors { field message code } }
}`;

export const UNLOCK_SESSION = `mutation UnlockSession($input: SessionInput!) {
  unlockSession(input: $input) { userErrors { field message code } }
}`;

export const ADMIT_ALL = `mutation AdmitAll($input: SessionInput!) {
  admitAll(input: $input) { userErrors { field message code } }
}`;

export const ADMIT_PARTICIPANT = `mutation AdmitParticipant($input: ParticipantInput!) {
  admitParticipant(input: $input) { userErrors { field message code } }
}`;

export const DENY_PARTICIPANT = `mutation DenyParticipant($input: DenyParticipantInput!) {
  denyParticipant(input: $input) { userErrors { field message code } }
}`;

export const MUTE_PARTICIPANT = `mutation MuteParticipant($input: MuteParticipantInput!) {
  muteParticipant(input: $input) { userErrors { field message code } }
}`;

export const UNMUTE_PARTICIPANT = `mutation UnmuteParticipant($input: MuteParticipantInput!) {
  unmuteParticipant(input: $input) { userErrors { field message code } }
}`;

export const MUTE_ALL = `mutation MuteAll($input: MuteAllInput!) {
  muteAll(input: $input) { userErrors { field message code } }
}`;

export const HOLD_PARTICIPANT = `mutation HoldParticipant($input: ParticipantInput!) {
  holdParticipant(input: $input) { userErrors { field message code } }
}`;

export const RELEASE_PARTICIPANT = `mutation ReleaseParticipant($input: ParticipantInput!) {
  releaseParticipant(input: $input) { userErrors { field message code } }
}`;

export const REMOVE_PARTICIPANT = `mutation RemoveParticipant($input: RemoveParticipantInput!) {
  removeParticipant(input: $input) { userErrors { field message code } }
}`;

export const GIVE_CONSENT = `mutation GiveConsent($input: GiveConsentInput!) {
  giveConsent(input: $input) { userErrors { field message code } }
}`;

export const WITHDRAW_CONSENT = `mutation WithdrawConsent($input: WithdrawConsentInput!) {
  withdrawConsent(input: $input) { userErrors { field message code } }
}`;

export const RECEIPT = `query Receipt($id: ID!, $participant: ID!) {
  session(id: $id) {
    id
    status
    endReason
    startedAt
    finishedAt
    position
    participant(id: $participant) {
      id
      displayName { value erased }
      role
      state
      joinedAt
      finishedAt
      timeline { at step detail }
    }
  }
  checkpoint { note treeSize verifierKey }
}`;
