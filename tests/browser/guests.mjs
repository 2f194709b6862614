// Guests without an invitation, and what is said to who may not come in.

import { KEY, invitation, room, WITAN } from "./api.mjs";
import { play } from "./browser.mjs";

await play("guests: by a password, denied, removed; a narrow screen in Portuguese", async ({ arrives, step }) => {
  const join = [{ who: "PASSWORD", password: "a sister of Peter", lobby: true }, { who: "INVITATION", lobby: false }];
  const roomId = await room({ name: "Open hour", join, settings: { waitForHost: false } });

  const host = await arrives("host");
  await host.opens(`${WITAN}/meet/${roomId}`);
  await host.presses("Sign in with an API key");
  await host.fills("API key", KEY);
  await host.presses("Use it");
  await host.joinsAs("Dr. Vega");
  await host.presses("Open the session");
  await host.inCall();

  step("a wrong password is told, and the right one leads to the lobby");
  const guest = await arrives("guest", { locale: "pt-BR", viewport: { width: 390, height: 844 } });
  await guest.opens(`${WITAN}/meet/${roomId}`);
  await guest.fills("Seu nome", "Robin Silva");
  await guest.fills("Senha", "something else");
  await guest.presses("Entrar");
  await guest.sees("Não é possível entrar por este link");
  await guest.fills("Senha", "a sister of Peter");
  await guest.presses("Entrar");
  await guest.sees("Você está na sala de espera");
  await guest.shot("guest-lobby-phone");
  await guest.isAccessible("guest-lobby-phone");
  await host.sees("Robin Silva waits in the lobby");

  step("who is denied is told so, and may knock again");
  await host.presses(/^People/);
  await host.presses("Deny: Robin Silva");
  await guest.sees("Você não foi admitido");
  await guest.page.reload();
  await guest.fills("Seu nome", "Robin Silva");
  await guest.fills("Senha", "a sister of Peter");
  await guest.presses("Entrar");
  await host.presses("Admit: Robin Silva");
  await guest.button("Sair").waitFor();
  await guest.shot("guest-call-phone");
  await guest.isAccessible("guest-call-phone");

  step("an invitation that is none is told");
  const stranger = await arrives("stranger");
  const link = await invitation(roomId, "Clara Lang");
  await stranger.opens(link.replace(/invite_.{4}/, "invite_AAAA"));
  await stranger.joinsAs("Clara");
  await stranger.sees("This invitation is not known here");

  step("a link that was cut says so");
  const cut = await arrives("cut");
  await cut.opens(link.slice(0, link.indexOf(".", link.indexOf("#"))));
  await cut.sees("The link to this page is damaged");

  step("who is removed sees so at once");
  await host.presses("Actions for Robin Silva");
  await host.presses("Remove");
  await host.page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
  await guest.sees("Você foi removido da sessão");
  await guest.shot("guest-removed-phone");
  await guest.isAccessible("guest-removed-phone");
  await host.sees("Robin Silva has left");
});
