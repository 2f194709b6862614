// Empties the folder of what was built before, but for the file that keeps the folder in git.
import { readdir, rm } from "node:fs/promises";

const folder = new URL("../dist/", import.meta.url);
for (const name of await readdir(folder)) {
  if (name !== ".gitignore") await rm(new URL(name, folder), { recursive: true });
}
