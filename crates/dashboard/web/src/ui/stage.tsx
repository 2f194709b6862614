// Who is seen, and how large.

import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { isIn, type Id, type Participant } from "../api/types";
import type { Call, CallState } from "../call";
import type { DevicesState } from "../media/devices";
import type { LinkState, Remote } from "../media/link";
import { useSay, type Say } from "../text";
import { Icon } from "./icons";
import { Sound, Video } from "./media";
import { Avatar } from "./parts";

const GAP = 12;
/** Louder than this is shown as speaking. */
const SPEAKING_DBOV = -50;
const RATIO = 16 / 9;

export type View = "grid" | "speaker";

interface Tile {
  key: string;
  participant: Participant;
  name: string;
  self: boolean;
  screen: boolean;
  video: MediaStreamTrack | null;
  offer: Id | null;
  muted: boolean;
  speaking: boolean;
  poor: boolean;
}

interface StageProps {
  call: Call;
  state: CallState;
  link: LinkState | null;
  devices: DevicesState;
  view: View;
}

export function Stage({ call, state, link, devices, view }: StageProps) {
  const say = useSay();
  const tiles = useTiles(call, state, link, devices);
  const spoke = useLastSpeaker(link, call.me);
  const screens = tiles.filter((tile) => tile.screen);
  const main = mainTile(tiles, screens, spoke, call.me, view);
  const others = main ? tiles.filter((tile) => tile !== main) : tiles;
  const sounds = link ? [...link.remotes.values()].filter(({ track, paused }) => track.kind === "audio" && !paused) : [];
  return (
    <div className={main ? "stage with-main" : "stage"}>
      {main && (
        <div className="main-tile">
          <TileView call={call} tile={main} />
        </div>
      )}
      {main ? (
        <ul className="strip" aria-label={say("people")}>
          {others.map((tile) => (
            <li key={tile.key}>
              <TileView call={call} tile={tile} />
            </li>
          ))}
        </ul>
      ) : (
        <Grid call={call} tiles={others} />
      )}
      {sounds.map(({ offerId, track }) => (
        <Sound key={offerId} track={track} speaker={devices.speakerId} />
      ))}
    </div>
  );
}

function mainTile(tiles: Tile[], screens: Tile[], spoke: Id | null, me: Id, view: View): Tile | null {
  if (screens.length > 0) return screens.find(({ self }) => !self) ?? screens[0] ?? null;
  if (view === "grid" || tiles.length < 2) return null;
  const other = tiles.find(({ participant }) => participant.id === spoke && participant.id !== me);
  return other ?? tiles.find(({ self }) => !self) ?? null;
}

/** Who speaks, or spoke last of the others. */
function useLastSpeaker(link: LinkState | null, me: Id): Id | null {
  const [last, setLast] = useState<Id | null>(null);
  const speaker = link?.speaker ?? null;
  useEffect(() => {
    if (speaker !== null && speaker !== me) setLast(speaker);
  }, [speaker, me]);
  return last;
}

function useTiles(call: Call, state: CallState, link: LinkState | null, devices: DevicesState): Tile[] {
  const say = useSay();
  const present = (state.session?.participants ?? []).filter(isIn);
  // Oneself stands last: others are whom one looks at.
  const ordered = [...present.filter(({ id }) => id !== call.me), ...present.filter(({ id }) => id === call.me)];
  return ordered.flatMap((participant) => {
    const own = participant.id === call.me;
    const of = (source: Remote["source"]) =>
      [...(link?.remotes.values() ?? [])].find((remote) => remote.participantId === participant.id && remote.source === source);
    const tile = own ? ownTile(participant, link, devices, say) : remoteTile(participant, of("CAMERA"), of("MICROPHONE"), link, say);
    const screen = of("SCREEN");
    if (!screen) return [tile];
    const { offerId, track } = screen;
    return [{ ...tile, key: offerId, name: say("screenOf", { name: tile.name }), screen: true, video: track, offer: offerId }, tile];
  });
}

function ownTile(participant: Participant, link: LinkState | null, devices: DevicesState, say: Say): Tile {
  const sends = link?.own.get("CAMERA") === false;
  return {
    key: participant.id,
    participant,
    name: say("you"),
    self: true,
    screen: false,
    video: sends ? devices.camera : null,
    offer: null,
    muted: link !== null && link.own.get("MICROPHONE") !== false,
    speaking: speaks(link, participant.id),
    poor: link?.quality === "poor",
  };
}

function remoteTile(participant: Participant, camera: Remote | undefined, microphone: Remote | undefined, link: LinkState | null, say: Say): Tile {
  return {
    key: participant.id,
    participant,
    name: nameOf(participant, say),
    self: false,
    screen: false,
    video: camera && !camera.paused ? camera.track : null,
    offer: camera?.offerId ?? null,
    muted: link !== null && (!microphone || microphone.paused),
    speaking: speaks(link, participant.id),
    poor: camera?.score !== null && camera?.score !== undefined && camera.score < 4,
  };
}

function speaks(link: LinkState | null, id: Id): boolean {
  return (link?.levels.get(id) ?? -127) > SPEAKING_DBOV;
}

export function nameOf(participant: Participant, say: Say): string {
  const { value, erased } = participant.displayName;
  return value ?? say(erased ? "erased" : "someone");
}

/** All alike, as large as they fit. */
function Grid({ call, tiles }: { call: Call; tiles: Tile[] }) {
  const say = useSay();
  const grid = useRef<HTMLUListElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = grid.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const width = tileWidth(tiles.length, size.width, size.height);
  return (
    <ul className="grid" ref={grid} aria-label={say("people")}>
      {tiles.map((tile) => (
        <li key={tile.key} style={{ width: `${width}px` }}>
          <TileView call={call} tile={tile} />
        </li>
      ))}
    </ul>
  );
}

/** The greatest width with which so many tiles fit. */
function tileWidth(count: number, width: number, height: number): number {
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - GAP * (columns - 1)) / columns;
    const byHeight = ((height - GAP * (rows - 1)) / rows) * RATIO;
    best = Math.max(best, Math.min(byWidth, byHeight));
  }
  return Math.max(120, Math.floor(best));
}

function TileView({ call, tile }: { call: Call; tile: Tile }) {
  const say = useSay();
  const { participant, name, video } = tile;
  const away = participant.held || participant.state === "RECONNECTING";
  const classes = ["tile", tile.screen ? "screen" : tile.speaking ? "speaking" : "", away ? "away" : ""];
  const marks = [
    tile.muted && !tile.screen ? say("muted") : "",
    video === null && call.link ? say("cameraIsOff") : "",
    participant.held ? say("onHold") : "",
    participant.state === "RECONNECTING" ? say("reconnecting") : "",
  ].filter(Boolean);
  return (
    <figure className={classes.join(" ")} data-participant={participant.id}>
      {video ? (
        <Video
          track={video}
          mirrored={tile.self && !tile.screen}
          contain={tile.screen}
          label={name}
          sized={(width) => tile.offer && call.link?.prefer(tile.offer, width)}
        />
      ) : (
        <Avatar name={participant.displayName.value ?? ""} id={participant.id} large />
      )}
      {away && (
        <p className="tile-state" aria-hidden="true">
          {say(participant.held ? "onHold" : "reconnecting")}
        </p>
      )}
      <figcaption>
        {tile.muted && !tile.screen && <Icon name="microphoneOff" />}
        <span className="tile-name">{name}</span>
        {tile.poor && <span className="bars poor" aria-hidden="true" />}
        <span className="unseen">{marks.join(", ")}</span>
      </figcaption>
    </figure>
  );
}
