// What of the API's answers the page reads. The names are those of schema.graphql.

export type Id = string;

export interface PrivateText {
  value: string | null;
  erased: boolean;
}

export type SessionStatus = "PREPARING" | "READY" | "WAITING" | "IN_PROGRESS" | "INTERRUPTED" | "CLOSED";

export type ParticipantState =
  | "KNOCKING"
  | "ADMITTED"
  | "DENIED"
  | "WITHDRAWN"
  | "TIMED_OUT"
  | "JOINED"
  | "RECONNECTING"
  | "ON_HOLD"
  | "MOVED"
  | "LEFT"
  | "REMOVED";

export type SessionRole = "HOST" | "CO_HOST" | "PARTICIPANT" | "INTERPRETER" | "GUARDIAN" | "OBSERVER";

export type Source = "MICROPHONE" | "CAMERA" | "SCREEN" | "SCREEN_AUDIO";

export type ConsentPurpose = "RECORDING" | "TRANSCRIPTION";

export interface Consent {
  purpose: ConsentPurpose;
  givenAt: string;
  withdrawnAt: string | null;
}

export interface Participant {
  id: Id;
  displayName: PrivateText;
  role: SessionRole;
  state: ParticipantState;
  held: boolean;
  /** What a host has muted. */
  muted: Source[];
  since: string;
  joinedAt: string | null;
  consents: Consent[];
}

export interface SessionSettings {
  chat: boolean;
  screenShare: boolean;
  whoMayPublish: "EVERYONE" | "HOSTS";
  layout: "GRID" | "SPEAKER";
  recording: "OFF" | "ON_DEMAND" | "AUTOMATIC";
  consentBeforeRecording: boolean;
  transcription: { language: string | null };
}

export interface Session {
  id: Id;
  status: SessionStatus;
  endReason: string | null;
  locked: boolean;
  presentCount: number;
  waitingCount: number;
  startedAt: string | null;
  finishedAt: string | null;
  durationEndsAt: string | null;
  room: { name: string } | null;
  settings: { values: SessionSettings };
  participants: Participant[];
}

export interface UserError {
  field: string | null;
  message: string;
  code: string;
}

export interface Payload {
  userErrors: UserError[];
}

export interface JoinToken extends Payload {
  joinToken: string | null;
  lobby: boolean | null;
  role: SessionRole | null;
  sessionId: Id | null;
}

export interface Entered extends Payload {
  participantId: Id | null;
  sessionId: Id | null;
  state: ParticipantState | null;
  resumeSecret: string | null;
}

export interface Viewer {
  kind: "ANONYMOUS" | "OPERATOR" | "PARTICIPANT" | "SYSTEM" | "USER";
  sessionId: Id | null;
  participantId: Id | null;
  participantState: ParticipantState | null;
  user: { name: PrivateText } | null;
}

export interface Message {
  id: Id;
  authorId: Id;
  sentAt: string;
  removedAt: string | null;
  text: PrivateText | null;
}

export interface Receipt {
  session: {
    id: Id;
    status: SessionStatus;
    endReason: string | null;
    startedAt: string | null;
    finishedAt: string | null;
    position: string;
    participant: {
      id: Id;
      displayName: PrivateText;
      role: SessionRole;
      state: ParticipantState;
      joinedAt: string | null;
      finishedAt: string | null;
      timeline: { at: string; step: string; detail: string | null }[];
    } | null;
  } | null;
  checkpoint: { note: string; treeSize: string; verifierKey: string } | null;
}

/** Whether the participant is in the session, heard and seen or about to be. */
export function isIn(participant: Participant): boolean {
  return ["JOINED", "RECONNECTING", "ON_HOLD"].includes(participant.state);
}

export function hosts(role: SessionRole): boolean {
  return role === "HOST" || role === "CO_HOST";
}
