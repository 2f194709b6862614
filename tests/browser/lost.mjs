// What breaks: the network between page and server, and the server itself. Nobody is lost, nobody comes twice, and nothing
// has to be clicked.

import { history, invitation, KEY, room, session, WITAN } from "./api.mjs";
import { check, play, until } from "./browser.mjs";
import { asks, Line } from "./line.mjs";

const LOST = "The connection is lost. Reconnecting…";

await play("lost connections", async ({ arrives, step }) => {
  const roomId = await room({ name: "Ward round", settings: { waitForHost: false, lobby: true } });
  const line = await Line.to(WITAN);
  const through = (url) => url.replace(WITAN, line.url);

  const host = await arrives("host");
  await host.opens(`${line.url}/meet/${roomId}`);
  await host.presses("Sign in with an API key");
  await host.fills("API key", KEY);
  await host.presses("Use it");
  await host.joinsAs("Dr. Vega");
  await host.presses("Open the session");
  await host.inCall();
  const guest = await arrives("guest");
  await guest.opens(through(await invitation(roomId, "Peter Lang")));
  await guest.joinsAs("Peter Lang");
  await guest.sees("You are in the lobby");

  step("the line is cut while the guest waits, and they wait on");
  line.cut();
  await guest.sees(LOST);
  await host.sees(LOST);
  line.mend();
  await guest.seesNoMore(LOST);
  await host.seesNoMore(LOST);
  await host.presses(/^People/);
  await host.presses("Admit: Peter Lang");
  await guest.inCall();

  step("the server is killed, and comes back");
  await asks("kill the server");
  await guest.sees(LOST);
  const url = await asks("start the server");
  line.mend(url);
  for (const person of [host, guest]) await person.seesNoMore(LOST);
  await guest.presses("Chat");
  await guest.fills("Write to everyone", "Are you still there?");
  await guest.presses("Send");
  await host.presses(/^Chat/);
  await host.sees("Are you still there?");

  process.env.WITAN_URL = url;
  const now = await until("both are in", async () => {
    const found = await session(roomId);
    return found.presentCount === 2 && found;
  });
  check("nobody came twice", now.participants.length === 2);
  const types = (await history(now.id)).map(({ type }) => type);
  check(`nobody left (${types})`, !types.includes("ParticipantLeft"));
});
