// Between the link and the call: no session yet, or waiting in the lobby.

import { useEffect, useState } from "react";
import type { Connection } from "../api/client";
import { duration, problemWord, useSay } from "../text";
import type { Visit } from "../visit";
import { Problem, Shell, Title } from "./parts";

export function Resuming() {
  const say = useSay();
  return (
    <Shell>
      <p className="resuming" role="status">
        {say("resuming")}
      </p>
    </Shell>
  );
}

interface NotLiveProps {
  visit: Visit;
  mayOpen: boolean;
  problem: string | null;
  busy: boolean;
}

export function NotLive({ visit, mayOpen, problem, busy }: NotLiveProps) {
  const say = useSay();
  return (
    <Shell>
      <section className="card center">
        <Waves />
        <Title>{say("notLiveTitle")}</Title>
        <p className="lead" role="status">
          {mayOpen ? say("notLiveHost") : say("notLiveLead")}
        </p>
        {problem !== null && <Problem>{problemWord(say, problem)}</Problem>}
        <div className="actions">
          <button type="button" className="quiet" onClick={() => visit.prejoin()}>
            {say("back")}
          </button>
          {mayOpen && (
            <button type="button" className="primary" disabled={busy} onClick={() => void visit.open()}>
              {busy ? say("opening") : say("openSession")}
            </button>
          )}
        </div>
      </section>
    </Shell>
  );
}

export function Lobby({ visit, connection }: { visit: Visit; connection: Connection }) {
  const say = useSay();
  const waited = useSince();
  return (
    <Shell>
      <section className="card center">
        <Waves />
        <Title>{say("lobbyTitle")}</Title>
        <p className="lead" role="status">
          {connection === "lost" ? say("connectionLost") : say("lobbyLead")}
        </p>
        <p className="hint tabular">{say("waitingSince", { time: duration(waited) })}</p>
        <div className="actions">
          <button type="button" className="quiet" onClick={() => void visit.leaveLobby()}>
            {say("lobbyLeave")}
          </button>
        </div>
      </section>
    </Shell>
  );
}

/** Milliseconds since the screen came, told each second. */
function useSince(): number {
  const [waited, setWaited] = useState(0);
  useEffect(() => {
    const start = performance.now();
    const timer = setInterval(() => setWaited(performance.now() - start), 1000);
    return () => clearInterval(timer);
  }, []);
  return waited;
}

function Waves() {
  return (
    <span className="waves" aria-hidden="true">
      <span />
      <span />
      <span />
    </span>
  );
}
