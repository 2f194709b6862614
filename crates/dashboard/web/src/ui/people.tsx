// Who is there and who waits; for hosts, what they may do about it.

import { useState } from "react";
import * as operations from "../api/operations";
import { isIn, type ConsentPurpose, type Participant, type Session, type Source } from "../api/types";
import type { Call } from "../call";
import { useSay } from "../text";
import { asksConsent, giveConsent, standing } from "./consent";
import { Icon } from "./icons";
import { Avatar, Dialog } from "./parts";
import { nameOf } from "./stage";

export function People({ call, session }: { call: Call; session: Session }) {
  const say = useSay();
  const [ending, setEnding] = useState(false);
  const waiting = session.participants.filter(({ state }) => state === "KNOCKING");
  const present = session.participants.filter(isIn);
  return (
    <>
      {call.isHost && waiting.length > 0 && (
        <section aria-labelledby="waiting">
          <div className="panel-row">
            <h3 id="waiting">{say("inLobby")}</h3>
            <button type="button" className="small" onClick={() => void call.acts("admitAll", operations.ADMIT_ALL)}>
              {say("admitAll")}
            </button>
          </div>
          <ul className="people">
            {waiting.map((participant) => (
              <Knocker key={participant.id} call={call} participant={participant} />
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="present">
        <h3 id="present">{say("inCall")}</h3>
        <ul className="people">
          {present.map((participant) => (
            <Present key={participant.id} call={call} participant={participant} />
          ))}
        </ul>
      </section>
      <OwnConsents call={call} session={session} />
      {call.isHost && (
        <section className="host-actions">
          <button type="button" className="small" onClick={() => void call.acts("muteAll", operations.MUTE_ALL, { source: "MICROPHONE" })}>
            {say("muteAll")}
          </button>
          <button
            type="button"
            className="small"
            onClick={() =>
              session.locked
                ? void call.acts("unlockSession", operations.UNLOCK_SESSION)
                : void call.acts("lockSession", operations.LOCK_SESSION)
            }
          >
            {session.locked ? say("unlock") : say("lock")}
          </button>
          <button type="button" className="small danger" onClick={() => setEnding(true)}>
            {say("endForAll")}
          </button>
        </section>
      )}
      {ending && (
        <Dialog title={say("endTitle")} close={() => setEnding(false)}>
          <p>{say("endLead")}</p>
          <div className="actions">
            <button type="button" className="quiet" autoFocus onClick={() => setEnding(false)}>
              {say("cancel")}
            </button>
            <button type="button" className="primary danger" onClick={() => void call.endForAll()}>
              {say("endForAll")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Knocker({ call, participant }: { call: Call; participant: Participant }) {
  const say = useSay();
  const name = nameOf(participant, say);
  const input = { participantId: participant.id };
  return (
    <li>
      <Avatar name={name} id={participant.id} />
      <span className="person-name">{name}</span>
      <button
        type="button"
        className="small"
        aria-label={`${say("deny")}: ${name}`}
        onClick={() => void call.acts("denyParticipant", operations.DENY_PARTICIPANT, input)}
      >
        {say("deny")}
      </button>
      <button
        type="button"
        className="small primary"
        aria-label={`${say("admit")}: ${name}`}
        onClick={() => void call.acts("admitParticipant", operations.ADMIT_PARTICIPANT, input)}
      >
        {say("admit")}
      </button>
    </li>
  );
}

function Present({ call, participant }: { call: Call; participant: Participant }) {
  const say = useSay();
  const [open, setOpen] = useState(false);
  const [removing, setRemoving] = useState(false);
  const self = participant.id === call.me;
  const name = nameOf(participant, say);
  return (
    <li>
      <Avatar name={name} id={participant.id} />
      <span className="person-name">
        {name} {self && <small>({say("you")})</small>}
        <small className="role">
          {say(`role_${participant.role}`)}
          {participant.held && ` · ${say("onHold")}`}
          {participant.state === "RECONNECTING" && ` · ${say("reconnecting")}`}
        </small>
      </span>
      {call.isHost && !self && (
        <button
          type="button"
          className="small icon-only"
          aria-expanded={open}
          aria-label={say("actionsFor", { name })}
          onClick={() => setOpen(!open)}
        >
          <Icon name="more" />
        </button>
      )}
      {open && (
        <div className="person-actions">
          <HostActions call={call} participant={participant} remove={() => setRemoving(true)} />
        </div>
      )}
      {removing && <Remove call={call} participant={participant} name={name} close={() => setRemoving(false)} />}
    </li>
  );
}

function HostActions({ call, participant, remove }: { call: Call; participant: Participant; remove: () => void }) {
  const say = useSay();
  const input = { participantId: participant.id };
  const sources: [Source, "muteThem" | "stopCamera" | "stopScreen", "unmuteThem" | "allowCamera" | "allowScreen"][] = [
    ["MICROPHONE", "muteThem", "unmuteThem"],
    ["CAMERA", "stopCamera", "allowCamera"],
    ["SCREEN", "stopScreen", "allowScreen"],
  ];
  return (
    <>
      {sources.map(([source, mute, unmute]) => {
        const muted = participant.muted.includes(source);
        const act = muted
          ? () => call.acts("unmuteParticipant", operations.UNMUTE_PARTICIPANT, { ...input, source })
          : () => call.acts("muteParticipant", operations.MUTE_PARTICIPANT, { ...input, source });
        return (
          <button key={source} type="button" className="small" onClick={() => void act()}>
            {say(muted ? unmute : mute)}
          </button>
        );
      })}
      {participant.held ? (
        <button type="button" className="small" onClick={() => void call.acts("releaseParticipant", operations.RELEASE_PARTICIPANT, input)}>
          {say("release")}
        </button>
      ) : (
        <button type="button" className="small" onClick={() => void call.acts("holdParticipant", operations.HOLD_PARTICIPANT, input)}>
          {say("hold")}
        </button>
      )}
      <button type="button" className="small danger" onClick={remove}>
        {say("remove")}
      </button>
    </>
  );
}

interface RemoveProps {
  call: Call;
  participant: Participant;
  name: string;
  close: () => void;
}

function Remove({ call, participant, name, close }: RemoveProps) {
  const say = useSay();
  async function remove(ban: boolean) {
    await call.acts("removeParticipant", operations.REMOVE_PARTICIPANT, { participantId: participant.id, ban });
    close();
  }
  return (
    <Dialog title={say("removeTitle", { name })} close={close}>
      <p>{say("removeLead")}</p>
      <div className="actions">
        <button type="button" className="quiet" autoFocus onClick={close}>
          {say("cancel")}
        </button>
        <button type="button" className="danger" onClick={() => void remove(true)}>
          {say("removeAndBan")}
        </button>
        <button type="button" className="primary danger" onClick={() => void remove(false)}>
          {say("remove")}
        </button>
      </div>
    </Dialog>
  );
}

function OwnConsents({ call, session }: { call: Call; session: Session }) {
  const say = useSay();
  const self = call.self;
  const purposes = asksConsent(session);
  if (!self || purposes.length === 0) return null;
  const change = (purpose: ConsentPurpose, given: boolean) =>
    given ? call.acts("withdrawConsent", operations.WITHDRAW_CONSENT, { purpose }) : giveConsent(call, purpose);
  return (
    <section aria-labelledby="consents">
      <h3 id="consents">{say("consents")}</h3>
      <ul className="people">
        {purposes.map((purpose) => {
          const given = standing(self, purpose);
          return (
            <li key={purpose}>
              <span className="person-name">
                {say(`consent_${purpose}`)} <small className="role">{say(given ? "consentGiven" : "consentNotGiven")}</small>
              </span>
              <button type="button" className="small" onClick={() => void change(purpose, given)}>
                {say(given ? "consentWithdraw" : "consentGive")}
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
