// The question that comes before anything is recorded or written down.

import { useState } from "react";
import * as operations from "../api/operations";
import type { ConsentPurpose, Participant, Session } from "../api/types";
import type { Call } from "../call";
import { language, useSay } from "../text";
import { Dialog } from "./parts";

/** Raised with every change of the words that are shown: the record keeps which ones somebody agreed to. */
const TEXT_VERSION = "witan-meet-1";

/** To what this session asks consent. */
export function asksConsent(session: Session): ConsentPurpose[] {
  const { recording, consentBeforeRecording, transcription } = session.settings.values;
  if (!consentBeforeRecording) return [];
  const asked: ConsentPurpose[] = recording === "OFF" ? [] : ["RECORDING"];
  if (transcription.language !== null) asked.push("TRANSCRIPTION");
  return asked;
}

/** Whether a consent stands: given, and not withdrawn since. */
export function standing(participant: Participant, purpose: ConsentPurpose): boolean {
  return participant.consents.some((consent) => consent.purpose === purpose && consent.withdrawnAt === null);
}

export function giveConsent(call: Call, purpose: ConsentPurpose): Promise<boolean> {
  return call.acts("giveConsent", operations.GIVE_CONSENT, { purpose, textVersion: TEXT_VERSION, language: language.get() });
}

export function Consent({ call, session }: { call: Call; session: Session }) {
  const say = useSay();
  const [answered, setAnswered] = useState<ConsentPurpose[]>([]);
  const self = call.self;
  if (!self) return null;
  const purpose = asksConsent(session).find((asked) => !answered.includes(asked) && !standing(self, asked));
  if (!purpose) return null;
  const answer = () => setAnswered([...answered, purpose]);
  return (
    <Dialog key={purpose} title={say(`consentTitle_${purpose}`)} close={answer}>
      <p>{say(`consentText_${purpose}`)}</p>
      <div className="actions">
        <button type="button" onClick={answer}>
          {say("consentNo")}
        </button>
        <button type="button" className="primary" onClick={() => void giveConsent(call, purpose).then((given) => given && answer())}>
          {say("consentYes")}
        </button>
      </div>
    </Dialog>
  );
}
