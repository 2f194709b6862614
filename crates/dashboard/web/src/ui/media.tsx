// Where tracks are shown and heard.

import { useEffect, useRef } from "react";
import { Store, useStore } from "../store";

/** Whether the browser holds the sound back until the person has touched the page. */
export const soundIsBlocked = new Store(false);
const players = new Set<HTMLAudioElement>();

/** Plays what was held back: to be called by a click. */
export function playAll(): void {
  soundIsBlocked.set(false);
  for (const player of players) void player.play().catch(() => soundIsBlocked.set(true));
}

interface VideoProps {
  track: MediaStreamTrack;
  mirrored?: boolean;
  contain?: boolean;
  label: string;
  /** Told how wide the picture is on the screen, in its pixels. */
  sized?: (width: number) => void;
}

export function Video({ track, mirrored = false, contain = false, label, sized }: VideoProps) {
  const video = useRef<HTMLVideoElement>(null);
  const tell = useRef(sized);
  tell.current = sized;
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    element.srcObject = new MediaStream([track]);
    void element.play().catch(() => {});
    let later: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(later);
      later = setTimeout(() => tell.current?.(element.clientWidth * devicePixelRatio), 400);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      clearTimeout(later);
      element.srcObject = null;
    };
  }, [track]);
  const kind = `${mirrored ? "mirrored" : ""} ${contain ? "contain" : ""}`;
  return <video ref={video} className={kind} autoPlay playsInline muted aria-label={label} />;
}

export function Sound({ track, speaker }: { track: MediaStreamTrack; speaker: string }) {
  const audio = useRef<HTMLAudioElement>(null);
  useStore(soundIsBlocked);
  useEffect(() => {
    const element = audio.current;
    if (!element) return;
    players.add(element);
    element.srcObject = new MediaStream([track]);
    void element.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === "NotAllowedError") soundIsBlocked.set(true);
    });
    return () => {
      players.delete(element);
      element.srcObject = null;
    };
  }, [track]);
  useEffect(() => {
    const element = audio.current as (HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> }) | null;
    if (speaker !== "") void element?.setSinkId?.(speaker).catch(() => {});
  }, [speaker]);
  return <audio ref={audio} autoPlay />;
}
