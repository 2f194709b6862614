// Light or dark: as the device says, unless the person says otherwise.

import { keepTaste, taste } from "./keep";
import { Store } from "./store";

export type Theme = "auto" | "light" | "dark";

const chosen = taste("theme");
export const theme = new Store<Theme>(chosen === "light" || chosen === "dark" ? chosen : "auto");

function show(): void {
  if (theme.get() === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme.get();
}

theme.subscribe(show);
show();

export function chooseTheme(next: Theme): void {
  keepTaste("theme", next);
  theme.set(next);
}
