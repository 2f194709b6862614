import { StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { roomOfAddress } from "./entry";
import { useStore } from "./store";
import { language, useSay } from "./text";
import "./theme";
import "./style.css";
import { CallScreen } from "./ui/call";
import { Out } from "./ui/out";
import { Shell, Title } from "./ui/parts";
import { Prejoin } from "./ui/prejoin";
import { Lobby, NotLive, Resuming } from "./ui/waiting";
import { Visit } from "./visit";

function Page({ visit }: { visit: Visit | null }) {
  const tag = useStore(language);
  useEffect(() => {
    document.documentElement.lang = tag;
  }, [tag]);
  if (!window.isSecureContext) return <Message word="insecure" />;
  return visit ? <Screens visit={visit} /> : <Message word="noRoom" />;
}

function Message({ word }: { word: "insecure" | "noRoom" }) {
  const say = useSay();
  return (
    <Shell>
      <section className="card">
        <Title>witan</Title>
        <p className="lead">{say(word)}</p>
      </section>
    </Shell>
  );
}

function Screens({ visit }: { visit: Visit }) {
  const phase = useStore(visit.phase);
  switch (phase.at) {
    case "resuming":
      return <Resuming />;
    case "prejoin":
      return <Prejoin visit={visit} problem={phase.problem} busy={phase.busy} />;
    case "notLive":
      return <NotLive visit={visit} mayOpen={phase.mayOpen} problem={phase.problem} busy={phase.busy} />;
    case "lobby":
      return <Lobby visit={visit} connection={phase.connection} />;
    case "call":
      return <CallScreen call={phase.call} devices={visit.devices} />;
    case "out":
      return <Out visit={visit} why={phase.why} receipt={phase.receipt} reading={phase.reading} />;
  }
}

const room = roomOfAddress();
const visit = room === null ? null : new Visit(room);
const place = document.getElementById("page");
if (place) createRoot(place).render(<StrictMode><Page visit={visit} /></StrictMode>);
if (window.isSecureContext) void visit?.begin();
