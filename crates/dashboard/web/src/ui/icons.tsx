// Signs, drawn here. They say nothing to a screen reader: the button that holds one has a name.

const PATHS = {
  microphone: "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11v1a6 6 0 0 0 12 0v-1M12 18v3",
  microphoneOff: "M15 10V6a3 3 0 0 0-5.7-1.300M9 9v3a3 3 0 0 0 4.5 2.600M6 11v1a6 6 0 0 0 9.5 4.900M18 11v1c0 .7-.1 1.3-.3 1.900M12 18v3M4 4l16 16",
  camera: "M4 7.500A1.5 1.5 0 0 1 5.5 6h8A1.5 1.5 0 0 1 15 7.500v9a1.5 1.5 0 0 1-1.5 1.500h-8A1.5 1.5 0 0 1 4 16.500zM15 10.500l5-2.500v8l-5-2.5",
  cameraOff: "M9 6h4.500A1.5 1.5 0 0 1 15 7.500V12M15 16.500a1.5 1.5 0 0 1-1.5 1.500h-8A1.5 1.5 0 0 1 4 16.500v-9C4 6.9 4.4 6.3 5 6.100M15 11l5-3v8l-3-1.500M3 3l18 18",
  screen: "M3.5 5.500h17v11h-17zM9 20h6M12 16.500V20M12 13.500V8.500M9.5 10.500L12 8l2.5 2.5",
  people: "M9 11.500a3.25 3.25 0 1 0 0-6.5 3.25 3.25 0 0 0 0 6.500zM3 19c.4-3 2.8-5 6-5s5.6 2 6 5M16 5.300a3.25 3.25 0 0 1 0 5.900M17.5 14.300c2 .6 3.3 2.3 3.5 4.7",
  chat: "M4 5.500h16v11H11l-4.5 3.500V16.500H4zM8 9.500h8M8 12.500h5",
  leave: "M3 13.2c5-4.6 13-4.6 18 0 .5.5.5 1.3 0 1.800l-1.5 1.600c-.4.4-1 .5-1.5.2l-2.6-1.500c-.4-.2-.6-.6-.6-1v-1.900a11 11 0 0 0-5.6 0v1.900c0 .4-.2.8-.6 1L6 16.800c-.5.3-1.1.2-1.5-.2L3 15c-.5-.5-.5-1.3 0-1.800z",
  more: "M6 12m-.8 0a.8.8 0 1 0 1.6 0a.8.8 0 1 0-1.6 0M12 12m-.8 0a.8.8 0 1 0 1.6 0a.8.8 0 1 0-1.6 0M18 12m-.8 0a.8.8 0 1 0 1.6 0a.8.8 0 1 0-1.6 0",
  settings: "M4 7h9M17 7h3M4 12h3M11 12h9M4 17h7M15 17h5M15 5v4M9 10v4M13 15v4",
  close: "M6 6l12 12M18 6L6 18",
  lock: "M6.5 10.500h11v9h-11zM8.5 10.500V8a3.5 3.5 0 0 1 7 0v2.5",
  send: "M4.5 12l15-7-4 14.5-4-6z M11.5 13.500L19.5 5",
  grid: "M4 4.500h7v6.500H4zM13 4.500h7v6.500h-7zM4 13h7v6.500H4zM13 13h7v6.500h-7z",
  speaker: "M4 4.500h16v10H4zM4 17h4.500v2.500H4zM10 17h4.500v2.500H10zM16 17h4v2.500h-4z",
  hold: "M9 6v12M15 6v12",
  check: "M5 12.500l4.5 4.500L19 7.5",
  speakerphone: "M4.5 9.500v5h3.500l4.5 4v-13l-4.5 4zM16 9a4 4 0 0 1 0 6M18.5 6.500a8 8 0 0 1 0 11",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" />
      <path d="M7 11l4.5 11L16 12l4.5 10L25 11" />
    </svg>
  );
}
