// A session without audio and video, from the link to the receipt: a host, and a guest who was invited.

import { desk, history, invitation, KEY, room, session, WITAN } from "./api.mjs";
import { check, play, until } from "./browser.mjs";

await play("without media: host and guest, lobby, chat, consent, hold, the end", async ({ arrives, step }) => {
  const settings = { lobby: true, waitForHost: false, chat: true, recording: "ON_DEMAND", consentBeforeRecording: true };
  const roomId = await room({ purpose: "CONSULTATION", name: "Cardiology, Dr. Vega", settings });
  const link = await invitation(roomId, "Peter Lang");

  step("the guest comes too early, and is told so");
  const guest = await arrives("guest");
  await guest.opens(link);
  check("the secret is not in the address", !guest.page.url().includes("invite_"));
  await guest.sees("This server carries no audio or video");
  await guest.shot("plain-prejoin");
  await guest.isAccessible("plain-prejoin");
  await guest.joinsAs("Peter Lang");
  await guest.sees("The session has not begun");
  await until("the desk shows who waits", async () => (await desk(roomId)).includes("Peter Lang"));
  await guest.shot("plain-not-live");
  await guest.isAccessible("plain-not-live");

  step("the host signs in, and opens the session");
  const host = await arrives("host");
  await host.opens(`${WITAN}/meet/${roomId}`);
  await host.presses("Sign in with an API key");
  await host.fills("API key", "witan_wrong");
  await host.presses("Use it");
  await host.page.getByRole("alert").waitFor();
  await host.fills("API key", KEY);
  await host.presses("Use it");
  await host.sees("Ready for “Cardiology, Dr. Vega”?");
  await host.joinsAs("Dr. Vega");
  await host.sees("Nobody has opened this room yet");
  await host.presses("Open the session");
  await host.inCall();
  await host.sees("May this session be recorded?");
  await host.presses("I agree");

  step("the guest knocks by themselves, and is admitted");
  await guest.sees("You are in the lobby");
  await guest.shot("plain-lobby");
  await guest.isAccessible("plain-lobby");
  await host.presses(/^People/);
  await host.presses("Admit: Peter Lang");
  await guest.inCall();
  await guest.presses("I do not agree");
  const live = await until("both are in", async () => {
    const now = await session(roomId);
    return now.presentCount === 2 && now;
  });
  const [hostsOwn, guests] = ["Dr. Vega", "Peter Lang"].map((name) => live.participants.find(({ displayName }) => displayName.value === name));
  check("the host has consented", hostsOwn.consents.some(({ purpose }) => purpose === "RECORDING"));
  check("the guest has not", guests.consents.length === 0);

  step("they write to each other");
  await guest.presses("Chat");
  await guest.fills("Write to everyone", "The pain is back since Tuesday.");
  await guest.page.keyboard.press("Enter");
  await host.presses(/^Chat, 1 new/);
  await host.sees("The pain is back since Tuesday.");
  await host.fills("Write to everyone", "Then let us look at it together.");
  await host.presses("Send");
  await guest.sees("Then let us look at it together.");
  await host.shot("plain-chat");
  await host.isAccessible("plain-chat");

  step("the guest reloads, and is the same participant");
  await guest.page.reload();
  await guest.inCall();
  await guest.presses("I do not agree");
  await guest.presses("Chat");
  await guest.sees("The pain is back since Tuesday.");
  const again = await session(roomId);
  check("nobody new came", again.participants.length === 2);

  step("hold, release, lock");
  await host.presses(/^People/);
  await host.presses("Actions for Peter Lang");
  await host.presses("Put on hold");
  await guest.sees("You are on hold");
  await host.presses("Take back in");
  await guest.seesNoMore("Nobody hears or sees you now");
  await host.presses("Lock session");
  await guest.sees("Locked", { exact: true });
  await host.shot("plain-people");
  await host.isAccessible("plain-people");

  step("the host ends it for all");
  await host.presses("End for all");
  await host.page.getByRole("dialog").getByRole("button", { name: "End for all" }).click();
  for (const person of [host, guest]) {
    await person.sees("The session has ended");
    await person.sees("Your receipt");
    await person.sees(/covers it/);
  }
  await guest.shot("plain-receipt");
  await guest.isAccessible("plain-receipt");
  const ended = await session(roomId);
  check("it is closed by the host", ended.status === "CLOSED" && ended.endReason === "ENDED_BY_HOST");
  const types = (await history(ended.id)).map(({ type }) => type);
  check(`the guest left once (${types})`, types.filter((type) => type === "ParticipantLeft").length === 2);
});
