import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

// The server that `npm run dev` asks for the API; the built page asks the one that it came from.
const server = process.env["WITAN"] ?? "http://127.0.0.1:4000";

/** Beside each text a packed one: the server packs nothing while it serves. */
const packed: Plugin = {
  name: "packed",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      for (const [name, output] of Object.entries(bundle)) {
        const text = output.type === "chunk" ? output.code : output.source;
        if (/\.(js|css)$/.test(name)) this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(text, { level: 9 }) });
      }
    },
  },
};

export default defineConfig({
  plugins: [packed],
  base: "/",
  publicDir: false,
  build: {
    target: "es2022",
    assetsDir: "assets",
    // The folder has a file of git's in it; scripts/clean.mjs takes away the rest.
    emptyOutDir: false,
    // Nothing goes into the page as data: the content security policy of the page knows files only.
    assetsInlineLimit: 0,
    // What it adds is an inline script's work for old browsers.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/graphql": { target: server, ws: true } } },
});
