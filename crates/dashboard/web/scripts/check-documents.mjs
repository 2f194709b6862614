// Validates every GraphQL document of the page against the printed schema, so that a field that is renamed breaks the
// build and not a call.
import { readFile } from "node:fs/promises";
import { buildSchema, parse, validate } from "graphql";

const schema = buildSchema(await readFile(new URL("../../../../schema.graphql", import.meta.url), "utf8"));
const text = await readFile(new URL("../src/api/operations.ts", import.meta.url), "utf8");

const fragments = new Map();
const blocks = [...text.matchAll(/export const (\w+) = `([^`]*)`/g)].map(([, name, body]) => [name, body]);
for (const [name, body] of blocks) {
  fragments.set(name, body);
}
const whole = (body) => body.replace(/\$\{(\w+)\}/g, (_, name) => whole(fragments.get(name) ?? ""));

let wrong = 0;
for (const [name, body] of blocks) {
  if (/^\s*fragment/.test(body)) continue;
  for (const error of validate(schema, parse(whole(body)))) {
    console.error(`operations.ts, ${name}: ${error.message}`);
    wrong += 1;
  }
}
if (blocks.length === 0 || wrong > 0) {
  console.error(`${wrong} of ${blocks.length} documents do not fit schema.graphql`);
  process.exit(1);
}
