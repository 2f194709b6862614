// What the browser keeps. Secrets: in this tab only, until it is closed. Tastes: on this device; nothing of a person.

const ENTRY = "witan.entry.";
const KEY = "witan.key";
const INVITATION = "witan.invitation.";

/** By what this tab is a participant of a room's session, and comes back after a reload. */
export interface KeptEntry {
  sessionId: string;
  participantId: string;
  resumeSecret: string;
}

export interface KeptInvitation {
  id: string;
  secret: string;
}

function read<Kept>(name: string): Kept | null {
  try {
    const text = sessionStorage.getItem(name);
    return text === null ? null : (JSON.parse(text) as Kept);
  } catch {
    // Storage may be switched off; then a reload begins anew.
    return null;
  }
}

function write(name: string, value: unknown): void {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, JSON.stringify(value));
  } catch {
    // As above.
  }
}

export const keptEntry = (room: string) => read<KeptEntry>(ENTRY + room);
export const keepEntry = (room: string, entry: KeptEntry | null) => write(ENTRY + room, entry);
export const keptKey = () => read<string>(KEY);
export const keepKey = (key: string | null) => write(KEY, key);
export const keptInvitation = (room: string) => read<KeptInvitation>(INVITATION + room);
export const keepInvitation = (room: string, invitation: KeptInvitation | null) => write(INVITATION + room, invitation);

export function taste(name: string): string | null {
  try {
    return localStorage.getItem(`witan.${name}`);
  } catch {
    return null;
  }
}

export function keepTaste(name: string, value: string): void {
  try {
    localStorage.setItem(`witan.${name}`, value);
  } catch {
    // Then it holds until the page is closed.
  }
}
