// Before the call: who one is, and whether camera and microphone work.

import { useEffect, useRef, useState, type FormEvent } from "react";
import { carriesMedia } from "../media/carries";
import type { Devices, Trouble } from "../media/devices";
import { measureLevel } from "../media/level";
import { useStore } from "../store";
import { problemWord, useSay } from "../text";
import type { Visit } from "../visit";
import { Icon } from "./icons";
import { Video } from "./media";
import { Choice, Dialog, Field, Problem, Shell, Title } from "./parts";

const NAME_CHARS_MAX = 100;

export function Prejoin({ visit, problem, busy }: { visit: Visit; problem: string | null; busy: boolean }) {
  const say = useSay();
  const way = useStore(visit.way);
  const name = useStore(visit.name);
  const [signingIn, setSigningIn] = useState(false);
  const media = carriesMedia();
  const room = way.by === "key" ? way.room : null;

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!busy && name.trim() !== "") void visit.join();
  }

  return (
    <Shell wide={media}>
      <div className={media ? "prejoin" : "prejoin plain"}>
        {media && <Check devices={visit.devices} />}
        <section className="card join-card">
          <Title>{room === null ? say("prejoinTitle") : say("prejoinTitleRoom", { room })}</Title>
          <p className="lead">{media ? say("prejoinLead") : say("prejoinLeadPlain")}</p>
          {!media && <p className="note">{say("noMediaLong")}</p>}
          {problem !== null && <Problem>{problemWord(say, problem)}</Problem>}
          <form onSubmit={submit}>
            <Field
              label={say("yourName")}
              hint={say("yourNameHint")}
              value={name}
              change={(value) => visit.name.set(value)}
              required
              maxLength={NAME_CHARS_MAX}
              autoComplete="name"
            />
            {way.by === "guest" && (
              <Field
                label={say("password")}
                hint={say("passwordHint")}
                type="password"
                value={way.password}
                change={(password) => visit.way.set({ by: "guest", password })}
                autoComplete="off"
              />
            )}
            {way.by === "invitation" && <p className="hint">{say("invited")}</p>}
            <button type="submit" className="primary" disabled={busy || name.trim() === ""}>
              {busy ? say("joining") : say("join")}
            </button>
          </form>
          {way.by === "guest" && (
            <p className="aside">
              {say("host")}{" "}
              <button type="button" className="link" onClick={() => setSigningIn(true)}>
                {say("signIn")}
              </button>
            </p>
          )}
          {way.by === "key" && (
            <p className="aside">
              {say("signedIn", { name: way.name })}{" "}
              <button type="button" className="link" onClick={() => visit.signOut()}>
                {say("signOut")}
              </button>
            </p>
          )}
        </section>
        {media && (
          <div className="check-choices">
            <DeviceChoices devices={visit.devices} choose={(kind, id) => void visit.devices.turnOn(kind, id)} />
          </div>
        )}
      </div>
      {signingIn && <SignIn visit={visit} close={() => setSigningIn(false)} />}
    </Shell>
  );
}

function SignIn({ visit, close }: { visit: Visit; close: () => void }) {
  const say = useSay();
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    const wrong = await visit.signIn(key);
    setBusy(false);
    if (wrong === null) close();
    else setProblem(wrong);
  }

  return (
    <Dialog title={say("signIn")} close={close}>
      <form onSubmit={(event) => void submit(event)}>
        {problem !== null && <Problem>{problemWord(say, problem)}</Problem>}
        <Field label={say("apiKey")} hint={say("apiKeyHint")} type="password" value={key} change={setKey} autoComplete="off" autoFocus />
        <div className="actions">
          <button type="button" className="quiet" onClick={close}>
            {say("cancel")}
          </button>
          <button type="submit" className="primary" disabled={busy || key.trim() === ""}>
            {say("use")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** The device check: the picture as others will see it, and the microphone's level. */
function Check({ devices }: { devices: Devices }) {
  const say = useSay();
  const state = useStore(devices.state);
  useEffect(() => {
    const { camera, microphone } = devices.state.get();
    if (!camera && !microphone) void devices.start();
  }, [devices]);
  const { camera, microphone } = state;

  return (
    <section className="check" aria-label={say("devices")}>
      <div className="preview">
        {camera ? (
          <Video track={camera} mirrored label={say("camera")} />
        ) : (
          <p className="preview-off">{state.starting ? say("startingDevices") : say("cameraOff")}</p>
        )}
        <div className="preview-bar">
          <button
            type="button"
            className={microphone ? "toggle" : "toggle off"}
            aria-pressed={!microphone}
            aria-label={microphone ? say("muteMicrophone") : say("unmuteMicrophone")}
            onClick={() => (microphone ? devices.turnOff("microphone") : void devices.turnOn("microphone"))}
          >
            <Icon name={microphone ? "microphone" : "microphoneOff"} />
          </button>
          <button
            type="button"
            className={camera ? "toggle" : "toggle off"}
            aria-pressed={!camera}
            aria-label={camera ? say("turnCameraOff") : say("turnCameraOn")}
            onClick={() => (camera ? devices.turnOff("camera") : void devices.turnOn("camera"))}
          >
            <Icon name={camera ? "camera" : "cameraOff"} />
          </button>
        </div>
      </div>
      <div className="check-level">
        <Level track={microphone} />
        <p className="hint">{microphone ? say("speakToTest") : say("microphoneIsOff")}</p>
      </div>
      <DeviceTrouble trouble={state.cameraTrouble} name={say("camera")} again={() => void devices.turnOn("camera")} />
      <DeviceTrouble trouble={state.microphoneTrouble} name={say("microphone")} again={() => void devices.turnOn("microphone")} />
    </section>
  );
}

interface DeviceChoicesProps {
  devices: Devices;
  choose: (kind: "camera" | "microphone", id: string) => void;
}

export function DeviceChoices({ devices, choose }: DeviceChoicesProps) {
  const say = useSay();
  const state = useStore(devices.state);
  const named = (kind: string, options: { id: string; label: string }[]) =>
    options.map(({ id, label }) => ({ id, label: /^\d+$/.test(label) ? `${kind} ${label}` : label }));
  const setsSpeaker = "setSinkId" in HTMLMediaElement.prototype;
  return (
    <>
      <Choice label={say("microphone")} value={state.microphoneId} options={named(say("microphone"), state.microphones)} change={(id) => choose("microphone", id)} />
      <Choice label={say("camera")} value={state.cameraId} options={named(say("camera"), state.cameras)} change={(id) => choose("camera", id)} />
      {setsSpeaker && (
        <Choice label={say("speaker")} value={state.speakerId} options={named(say("speaker"), state.speakers)} change={(id) => devices.chooseSpeaker(id)} />
      )}
    </>
  );
}

function DeviceTrouble({ trouble, name, again }: { trouble: Trouble; name: string; again: () => void }) {
  const say = useSay();
  if (trouble === null) return null;
  const words = { denied: "deviceDenied", missing: "deviceMissing", busy: "deviceBusy", insecure: "insecure" } as const;
  return (
    <Problem>
      <strong>{name}.</strong> {say(words[trouble])}{" "}
      {trouble !== "insecure" && (
        <button type="button" className="link" onClick={again}>
          {say("tryAgain")}
        </button>
      )}
    </Problem>
  );
}

/** How loud the microphone is. A meter for the eye; its changes are not read out. */
function Level({ track }: { track: MediaStreamTrack | null }) {
  const say = useSay();
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (bar.current) bar.current.style.transform = "scaleX(0)";
    if (!track) return;
    return measureLevel(track, (level) => {
      if (bar.current) bar.current.style.transform = `scaleX(${level})`;
    });
  }, [track]);
  return (
    <span className="level" role="img" aria-label={say("microphoneLevel")}>
      <span ref={bar} />
    </span>
  );
}
