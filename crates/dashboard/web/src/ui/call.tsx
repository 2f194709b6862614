// The call: the people, the bar below, and a panel at the side.

import { useEffect, useRef, useState } from "react";
import { isIn } from "../api/types";
import type { Call, CallState, Notice } from "../call";
import type { Devices } from "../media/devices";
import type { LinkState } from "../media/link";
import { Store, useStore } from "../store";
import { useSay, type Say } from "../text";
import { Chat } from "./chat";
import { Consent } from "./consent";
import { Icon, Mark } from "./icons";
import { playAll, soundIsBlocked } from "./media";
import { Preferences, Round } from "./parts";
import { People } from "./people";
import { DeviceChoices } from "./prejoin";
import { Stage, type View } from "./stage";

type Panel = "people" | "chat" | "settings" | null;

const NO_LINK = new Store<LinkState | null>(null);
const MINUTES_SHOWN = 10;

export function CallScreen({ call, devices }: { call: Call; devices: Devices }) {
  const say = useSay();
  const state = useStore(call.state);
  const link = useStore<LinkState | null>(call.link?.state ?? NO_LINK);
  const local = useStore(devices.state);
  const [panel, setPanel] = useState<Panel>(null);
  const [view, setView] = useState<View | null>(null);
  const session = state.session;
  const self = call.self;
  useEffect(() => call.chatShown(panel === "chat"), [call, panel]);
  useEffect(() => {
    const stay = (event: BeforeUnloadEvent) => event.preventDefault();
    if (state.sharing) addEventListener("beforeunload", stay);
    return () => removeEventListener("beforeunload", stay);
  }, [state.sharing]);
  const waiting = call.isHost ? (session?.participants.filter(({ state: stands }) => stands === "KNOCKING").length ?? 0) : 0;
  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${session?.room?.name ?? "witan"}`;
  }, [waiting, session?.room?.name]);
  const shown = view ?? (session?.settings.values.layout === "SPEAKER" ? "speaker" : "grid");

  return (
    <div className={panel ? "call with-panel" : "call"}>
      <CallTop call={call} state={state} link={link} />
      <main className="call-main" aria-label={say("call")}>
        <Banners state={state} link={link} />
        {self?.held ? (
          <Still title={say("heldTitle")} lead={say("heldLead")} />
        ) : (
          <Stage call={call} state={state} link={link} devices={local} view={shown} />
        )}
        <Notices notices={state.notices} />
      </main>
      <Bar call={call} state={state} link={link} panel={panel} show={setPanel} view={shown} setView={setView} />
      {panel && session && (
        <Side title={panelTitle(panel, say)} close={() => setPanel(null)}>
          {panel === "people" && <People call={call} session={session} />}
          {panel === "chat" && <Chat call={call} session={session} messages={state.messages} />}
          {panel === "settings" && (
            <div className="settings">
              {call.link && <DeviceChoices devices={devices} choose={(kind, id) => void call.choose(kind, id)} />}
              <Preferences />
            </div>
          )}
        </Side>
      )}
      {session && <Consent call={call} session={session} />}
    </div>
  );
}

function panelTitle(panel: Exclude<Panel, null>, say: Say): string {
  return say(panel);
}

function CallTop({ call, state, link }: { call: Call; state: CallState; link: LinkState | null }) {
  const say = useSay();
  const session = state.session;
  const left = useMinutesLeft(session?.durationEndsAt ?? null);
  return (
    <header className="call-top">
      <Mark />
      <h1 className="call-title">{session?.room?.name ?? "witan"}</h1>
      {session?.locked && (
        <span className="chip">
          <Icon name="lock" /> {say("locked")}
        </span>
      )}
      {left !== null && left <= MINUTES_SHOWN && <span className="chip warn">{say("endsIn", { minutes: left })}</span>}
      <span className="grow" />
      {!call.link && <span className="chip no-media">{say("noMedia")}</span>}
      {link && (
        <span className={`bars ${link.quality}`} role="img" aria-label={say(`quality_${link.quality}`)} title={say(`quality_${link.quality}`)} />
      )}
    </header>
  );
}

function useMinutesLeft(end: string | null): number | null {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 15_000);
    return () => clearInterval(timer);
  }, []);
  return end === null ? null : Math.max(0, Math.ceil((Date.parse(end) - now) / 60_000));
}

function Banners({ state, link }: { state: CallState; link: LinkState | null }) {
  const say = useSay();
  const blocked = useStore(soundIsBlocked);
  const session = state.session;
  const lost = state.connection === "lost" || (state.connection === "connecting" && session !== null);
  return (
    <div className="banners" aria-live="polite">
      {lost && <p className="banner warn">{say("connectionLost")}</p>}
      {!lost && session?.status === "INTERRUPTED" && <p className="banner warn">{say("interrupted")}</p>}
      {!lost && session?.status !== "INTERRUPTED" && link?.status === "trouble" && <p className="banner warn">{say("mediaTrouble")}</p>}
      {session?.status === "WAITING" && session.presentCount > 0 && <p className="banner">{say("waitForHostTitle")}</p>}
      {blocked && (
        <p className="banner">
          {say("hearOthers")}{" "}
          <button type="button" className="small primary" onClick={playAll}>
            {say("hear")}
          </button>
        </p>
      )}
      {state.sharing && <p className="banner">{say("yourScreen")}</p>}
    </div>
  );
}

interface BarProps {
  call: Call;
  state: CallState;
  link: LinkState | null;
  panel: Panel;
  show: (panel: Panel) => void;
  view: View;
  setView: (view: View) => void;
}

function Bar({ call, state, link, panel, show, view, setView }: BarProps) {
  const say = useSay();
  const session = state.session;
  const count = session?.participants.filter(isIn).length ?? 0;
  const waiting = call.isHost ? (session?.participants.filter(({ state: stands }) => stands === "KNOCKING").length ?? 0) : 0;
  const open = (which: Panel) => show(panel === which ? null : which);
  const unread = panel === "chat" ? 0 : state.unread;
  return (
    <nav className="bar" aria-label={say("call")}>
      {link && <MediaButtons call={call} state={state} link={link} />}
      <Round
        icon="people"
        label={say("people")}
        badge={waiting || count}
        expanded={panel === "people"}
        onClick={() => open("people")}
        tone={waiting > 0 ? "off" : "plain"}
      />
      {session?.settings.values.chat && (
        <Round
          icon="chat"
          label={unread > 0 ? say("chatUnread", { count: unread }) : say("chat")}
          badge={unread}
          expanded={panel === "chat"}
          onClick={() => open("chat")}
        />
      )}
      <Round
        icon={view === "grid" ? "speaker" : "grid"}
        label={view === "grid" ? say("speakerView") : say("grid")}
        onClick={() => setView(view === "grid" ? "speaker" : "grid")}
      />
      <Round icon="settings" label={say("settings")} expanded={panel === "settings"} onClick={() => open("settings")} />
      <Round icon="leave" label={say("leave")} tone="danger" onClick={() => void call.leave()} />
    </nav>
  );
}

function MediaButtons({ call, state, link }: { call: Call; state: CallState; link: LinkState }) {
  const say = useSay();
  const sends = (source: "MICROPHONE" | "CAMERA") => link.own.get(source) === false;
  const canShare = "getDisplayMedia" in (navigator.mediaDevices ?? {}) && call.mayPublish("SCREEN");
  const label = (source: "MICROPHONE" | "CAMERA") => {
    if (call.self?.muted.includes(source)) return say(source === "CAMERA" ? "hostMutedCamera" : "hostMutedMicrophone");
    if (!call.mayPublish(source)) return say("mayNotPublish");
    if (source === "CAMERA") return say(sends(source) ? "turnCameraOff" : "turnCameraOn");
    return say(sends(source) ? "mute" : "unmute");
  };
  return (
    <>
      <Round
        icon={sends("MICROPHONE") ? "microphone" : "microphoneOff"}
        label={label("MICROPHONE")}
        tone={sends("MICROPHONE") ? "plain" : "off"}
        disabled={!call.mayPublish("MICROPHONE")}
        onClick={() => void call.toggle("MICROPHONE")}
      />
      <Round
        icon={sends("CAMERA") ? "camera" : "cameraOff"}
        label={label("CAMERA")}
        tone={sends("CAMERA") ? "plain" : "off"}
        disabled={!call.mayPublish("CAMERA")}
        onClick={() => void call.toggle("CAMERA")}
      />
      {(canShare || state.sharing) && (
        <Round
          icon="screen"
          label={state.sharing ? say("stopShare") : say("share")}
          pressed={state.sharing}
          onClick={() => void call.shareScreen()}
        />
      )}
    </>
  );
}

function Side({ title, children, close }: { title: string; children: React.ReactNode; close: () => void }) {
  const say = useSay();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [title]);
  return (
    <aside
      className="side"
      aria-label={title}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <div className="panel-row">
        <h2 ref={heading} tabIndex={-1}>
          {title}
        </h2>
        <button type="button" className="small icon-only" aria-label={say("close")} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div className="side-body">{children}</div>
    </aside>
  );
}

function Still({ title, lead }: { title: string; lead: string }) {
  return (
    <div className="still" role="status">
      <span className="disc">
        <Icon name="hold" />
      </span>
      <h2>{title}</h2>
      <p>{lead}</p>
    </div>
  );
}

/** What has just happened: read out, and shown for a moment. */
function Notices({ notices }: { notices: Notice[] }) {
  const say = useSay();
  return (
    <div className="notices" role="status" aria-live="polite">
      {notices.map(({ number, kind, who }) => (
        <p key={number} className={kind === "problem" ? "notice bad" : "notice"}>
          {say(`said_${kind}`, { who: who ?? say("someone") })}
        </p>
      ))}
    </div>
  );
}
