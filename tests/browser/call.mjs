// Three browsers in one call: each sees and hears the others; mute, screen, leaving, reloading, the end.

import { invitation, KEY, room, session, WITAN } from "./api.mjs";
import { check, play, until } from "./browser.mjs";

/** What a person receives that grew within a while: what flows. */
async function flows(person, kind, milliseconds = 1_500) {
  const before = new Map((await person.receives()).map((stream) => [stream.ssrc, stream]));
  await new Promise((done) => setTimeout(done, milliseconds));
  const counted = kind === "video" ? "framesDecoded" : "packetsReceived";
  const after = (await person.receives()).filter((stream) => stream.kind === kind);
  return after.filter((stream) => stream[counted] > (before.get(stream.ssrc)?.[counted] ?? 0));
}

const receives = (person, kind, count) =>
  until(`${person.name} receives ${count} × ${kind}`, async () => {
    const streams = await flows(person, kind);
    return streams.length === count && streams;
  });

await play("a call of three", async ({ arrives, step }) => {
  const roomId = await room({ name: "Ward round", settings: { waitForHost: false } });
  const [hostLink, links] = [`${WITAN}/meet/${roomId}`, await Promise.all(["Peter Lang", "Clara Lang"].map((name) => invitation(roomId, name)))];

  const host = await arrives("host");
  await host.opens(hostLink);
  await host.presses("Sign in with an API key");
  await host.fills("API key", KEY);
  await host.presses("Use it");
  await host.button("Turn camera off").waitFor();
  await host.shot("prejoin");
  await host.isAccessible("prejoin");
  await host.joinsAs("Dr. Vega");
  await host.presses("Open the session");
  await host.inCall();

  step("a second comes, and is seen within two seconds");
  const peter = await arrives("peter");
  await peter.opens(links[0]);
  await peter.button("Turn camera off").waitFor();
  await peter.fills("Your name", "Peter Lang");
  const begun = Date.now();
  await peter.presses("Join");
  await until("the first frame", async () => (await peter.receives()).some(({ framesDecoded }) => framesDecoded > 0));
  const waited = Date.now() - begun;
  step(`from the click to the first frame: ${waited} ms`);
  check("the first frame comes soon", waited < (process.env.WITAN_THOROUGH ? 2_000 : 10_000));
  for (const person of [host, peter]) {
    await receives(person, "video", 1);
    await receives(person, "audio", 1);
  }

  step("the large view has the full picture");
  await host.presses("Speaker");
  await until("720 lines", async () => (await host.receives()).some(({ frameWidth, frameHeight }) => frameWidth === 1280 && frameHeight === 720));
  await host.shot("call-speaker");
  await host.presses("Grid");

  step("a third: each receives two");
  const clara = await arrives("clara", { viewport: { width: 390, height: 844 } });
  await clara.opens(links[1]);
  await clara.button("Turn camera off").waitFor();
  await clara.joinsAs("Clara Lang");
  for (const person of [host, peter, clara]) {
    const seen = await receives(person, "video", 2);
    check("pictures are 16 to 9", seen.every(({ frameWidth, frameHeight }) => Math.abs(frameWidth / frameHeight - 16 / 9) < 0.02));
    await receives(person, "audio", 2);
  }
  await host.shot("call-grid");
  await host.isAccessible("call-grid");
  await clara.shot("call-phone");

  step("a mute stops the packets");
  await peter.presses("Mute");
  await receives(host, "audio", 1);
  await receives(clara, "audio", 1);
  await peter.presses("Unmute");
  await receives(host, "audio", 2);

  step("a host's mute holds, until the host takes it back");
  await host.presses(/^People/);
  await host.presses("Actions for Clara Lang");
  await host.presses("Mute");
  await receives(peter, "audio", 1);
  check("Clara can't unmute", await clara.button("A host has muted you").isDisabled());
  await host.presses("Let speak");
  await clara.presses("Unmute");
  await receives(peter, "audio", 2);

  step("the camera off and on again");
  await peter.presses("Turn camera off");
  await receives(host, "video", 1);
  await peter.presses("Turn camera on");
  await receives(host, "video", 2);

  step("on hold nobody hears or sees them, nor they the others");
  await host.presses("Put on hold");
  await clara.sees("You are on hold");
  await receives(peter, "video", 1);
  await receives(clara, "video", 0);
  await host.presses("Take back in");
  await receives(peter, "video", 2);
  await receives(clara, "video", 2);

  step("a screen is shared");
  await peter.presses("Share screen");
  await receives(host, "video", 3);
  await host.sees("Peter Lang’s screen");
  await host.page.emulateMedia({ colorScheme: "dark" });
  await host.shot("call-screen-dark");
  await host.isAccessible("call-screen-dark");
  await peter.presses("Stop sharing");
  await receives(host, "video", 2);

  step("one leaves");
  await clara.presses("Leave");
  await clara.sees("You have left");
  await receives(host, "video", 1);

  step("a reload returns the same participant, with audio and video");
  await peter.page.reload();
  await peter.inCall();
  for (const person of [host, peter]) {
    await receives(person, "video", 1);
    await receives(person, "audio", 1);
  }
  const now = await session(roomId);
  check("nobody new came", now.participants.length === 3);

  step("the host ends it");
  await host.presses("End for all");
  await host.page.getByRole("dialog").getByRole("button", { name: "End for all" }).click();
  for (const person of [host, peter]) await person.sees("The session has ended");
});
