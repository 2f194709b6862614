// Cameras and microphones of this device, before and during a call.

import { Store } from "../store";

export type Kind = "camera" | "microphone";

/** Why a device gives nothing. */
export type Trouble = "denied" | "missing" | "busy" | "insecure" | null;

export interface Choice {
  id: string;
  label: string;
}

export interface DevicesState {
  cameras: Choice[];
  microphones: Choice[];
  speakers: Choice[];
  camera: MediaStreamTrack | null;
  microphone: MediaStreamTrack | null;
  cameraId: string;
  microphoneId: string;
  speakerId: string;
  cameraTrouble: Trouble;
  microphoneTrouble: Trouble;
  starting: boolean;
}

const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30, max: 30 },
};
const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Devices {
  readonly state = new Store<DevicesState>({
    cameras: [],
    microphones: [],
    speakers: [],
    camera: null,
    microphone: null,
    cameraId: "",
    microphoneId: "",
    speakerId: "",
    cameraTrouble: null,
    microphoneTrouble: null,
    starting: false,
  });

  constructor() {
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.list());
  }

  /** Asks for both at once, so that the browser asks the person once; then for each alone, where only one is there. */
  async start(): Promise<void> {
    if (!navigator.mediaDevices) {
      this.patch({ cameraTrouble: "insecure", microphoneTrouble: "insecure" });
      return;
    }
    this.patch({ starting: true });
    try {
      const both = await navigator.mediaDevices.getUserMedia({ audio: AUDIO, video: VIDEO });
      this.take("camera", both.getVideoTracks()[0] ?? null);
      this.take("microphone", both.getAudioTracks()[0] ?? null);
    } catch {
      await this.turnOn("microphone");
      await this.turnOn("camera");
    }
    await this.list();
    this.patch({ starting: false });
  }

  async turnOn(kind: Kind, id = this.chosen(kind)): Promise<MediaStreamTrack | null> {
    const wanted = id === "" ? {} : { deviceId: { exact: id } };
    const constraints = kind === "camera" ? { video: { ...VIDEO, ...wanted } } : { audio: { ...AUDIO, ...wanted } };
    this.turnOff(kind);
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      const track = stream.getTracks()[0] ?? null;
      this.take(kind, track);
      void this.list();
      return track;
    } catch (error) {
      this.patch(kind === "camera" ? { cameraTrouble: trouble(error) } : { microphoneTrouble: trouble(error) });
      return null;
    }
  }

  /** Stops the device: its light goes off. */
  turnOff(kind: Kind): void {
    const track = this.state.get()[kind];
    track?.stop();
    if (track) this.patch(kind === "camera" ? { camera: null } : { microphone: null });
  }

  stop(): void {
    this.turnOff("camera");
    this.turnOff("microphone");
  }

  chooseSpeaker(id: string): void {
    this.patch({ speakerId: id });
  }

  private chosen(kind: Kind): string {
    const { cameraId, microphoneId } = this.state.get();
    return kind === "camera" ? cameraId : microphoneId;
  }

  private take(kind: Kind, track: MediaStreamTrack | null): void {
    // An unplugged device ends its track by itself.
    track?.addEventListener("ended", () => {
      if (this.state.get()[kind] === track) {
        this.patch(kind === "camera" ? { camera: null, cameraTrouble: "missing" } : { microphone: null, microphoneTrouble: "missing" });
      }
    });
    const id = track?.getSettings().deviceId ?? this.chosen(kind);
    this.patch(
      kind === "camera"
        ? { camera: track, cameraId: id, cameraTrouble: null }
        : { microphone: track, microphoneId: id, microphoneTrouble: null },
    );
  }

  private async list(): Promise<void> {
    const found = await navigator.mediaDevices.enumerateDevices();
    const of = (kind: MediaDeviceKind) =>
      found
        .filter((device) => device.kind === kind && device.deviceId !== "")
        .map((device, index) => ({ id: device.deviceId, label: device.label || `${index + 1}` }));
    this.patch({ cameras: of("videoinput"), microphones: of("audioinput"), speakers: of("audiooutput") });
  }

  private patch(change: Partial<DevicesState>): void {
    this.state.update((state) => ({ ...state, ...change }));
  }
}

function trouble(error: unknown): Trouble {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "missing";
}
