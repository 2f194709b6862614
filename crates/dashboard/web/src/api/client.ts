// The public GraphQL API, as anyone else would use it: urql over HTTP, graphql-ws for subscriptions.

import { Client, fetchExchange, subscriptionExchange, type CombinedError, type ExecutionResult } from "@urql/core";
import { createClient, type Client as Socket } from "graphql-ws";
import type { Payload } from "./types";

const RETRIES_MAX = 6;
const RETRY_MS = 500;
const RETRY_MS_MAX = 5_000;
const PING_MS = 10_000;
const PONG_MS_MAX = 5_000;
/** Mutations that say what holds now, and take no idempotency key. */
const KEYLESS = [
  "connectTransport",
  "setStreamPaused",
  "unpublishStream",
  "acknowledgeOffer",
  "setPreferredLayers",
  "requestKeyFrame",
  "restartIce",
];
/** Close codes after which the same credential is refused again. */
const CLOSED_FOR_GOOD = [4401, 4403];

/** An error of a request, or a user error of a mutation: `code` is one of docs/errors.md, or `NETWORK`. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly field: string | null = null,
  ) {
    super(message);
  }
}

export type Connection = "connecting" | "online" | "lost" | "refused";

/** How the socket stands, as the page shows it. */
export interface Watch {
  connection: (state: Connection) => void;
}

/** The API on behalf of one credential, or of nobody. */
export class Api {
  private readonly client: Client;
  private readonly socket: Socket | null;

  constructor(
    credential: string | null,
    private readonly watch?: Watch,
  ) {
    this.socket = watch ? this.connect(credential) : null;
    const socket = this.socket;
    const subscriptions = subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => {
          const { query = "", variables } = request;
          const stop = socket?.subscribe(
            { query, variables: variables as Record<string, unknown> },
            { ...sink, next: (result) => sink.next(result as ExecutionResult) },
          );
          return { unsubscribe: () => stop?.() };
        },
      }),
    });
    this.client = new Client({
      url: "/graphql",
      preferGetMethod: false,
      requestPolicy: "network-only",
      exchanges: socket ? [subscriptions, fetchExchange] : [fetchExchange],
      fetchOptions: () => ({
        headers: credential === null ? {} : { authorization: `Bearer ${credential}` },
        credentials: "omit",
      }),
    });
  }

  async query<Data>(document: string, variables: Record<string, unknown> = {}): Promise<Data> {
    return retried(async () => {
      const result = await this.client.query(document, variables).toPromise();
      // Data with errors is half an answer; what the page asks may be null where it is optional.
      if (result.error && !result.data) throw apiError(result.error);
      return result.data as Data;
    });
  }

  /** A mutation with one input. It is sent again after a lost connection, with the same key: nothing happens twice. */
  async mutate<Answer extends Payload>(name: string, document: string, input: Record<string, unknown>): Promise<Answer> {
    const keyed = KEYLESS.includes(name) ? input : { idempotencyKey: crypto.randomUUID(), ...input };
    return retried(async () => {
      const result = await this.client.mutation(document, { input: keyed }).toPromise();
      if (result.error) throw apiError(result.error);
      const payload = (result.data as Record<string, Answer>)[name];
      if (!payload) throw new ApiError("INTERNAL", `no answer to ${name}`);
      const rejected = payload.userErrors[0];
      if (rejected) throw new ApiError(rejected.code, rejected.message, rejected.field);
      return payload;
    });
  }

  /** Subscribes, and again after each loss of the connection, until the returned function is called. */
  subscribe<Data>(
    document: string,
    variables: Record<string, unknown>,
    next: (data: Data) => void,
    ended: (error: ApiError | null) => void,
  ): () => void {
    const { unsubscribe } = this.client.subscription(document, variables).subscribe((result) => {
      if (result.data) next(result.data as Data);
      if (result.error) ended(apiError(result.error));
      else if (!result.hasNext && !result.data) ended(null);
    });
    return unsubscribe;
  }

  close(): void {
    removeEventListener("offline", this.drop);
    void this.socket?.dispose();
  }

  private readonly drop = (): void => this.socket?.terminate();

  private connect(credential: string | null): Socket {
    const url = new URL("/graphql", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    let pong: ReturnType<typeof setTimeout> | undefined;
    const told = (state: Connection) => this.watch?.connection(state);
    // The system knows at once that the network is gone; the socket would find out after a while.
    addEventListener("offline", this.drop);
    return createClient({
      url: url.href,
      lazy: false,
      connectionParams: credential === null ? {} : { authorization: `Bearer ${credential}` },
      retryAttempts: Infinity,
      retryWait: (tries) => {
        // Not all at the same moment after a restart of the server, but at once when the network is back.
        const pause = Math.min(RETRY_MS * 2 ** Math.min(tries, 6), RETRY_MS_MAX) * (0.5 + Math.random() / 2);
        return Promise.race([sleep(pause), new Promise<void>((done) => addEventListener("online", () => done(), { once: true }))]);
      },
      shouldRetry: (event) => !CLOSED_FOR_GOOD.includes((event as CloseEvent).code),
      onNonLazyError: () => told("refused"),
      keepAlive: PING_MS,
      on: {
        connecting: () => told("connecting"),
        connected: () => told("online"),
        closed: (event) => {
          clearTimeout(pong);
          told(CLOSED_FOR_GOOD.includes((event as CloseEvent).code) ? "refused" : "lost");
        },
        // A network that is gone closes no socket by itself: whoever doesn't answer is taken for gone.
        ping: (received) => {
          if (!received) pong = setTimeout(() => this.socket?.terminate(), PONG_MS_MAX);
        },
        pong: (received) => {
          if (received) clearTimeout(pong);
        },
      },
    });
  }
}

function apiError(error: CombinedError): ApiError {
  const first = error.graphQLErrors[0];
  if (first) return new ApiError(String(first.extensions?.["code"] ?? "INTERNAL"), first.message);
  return new ApiError("NETWORK", error.message);
}

/** Tries again what was not done, or of which nobody knows whether it was. */
async function retried<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const code = error instanceof ApiError ? error.code : "";
      const again = ["NETWORK", "UNAVAILABLE", "TIMEOUT", "CONTENTION", "SESSION_NOT_READY"].includes(code);
      if (!again || tries >= RETRIES_MAX) throw error;
      await sleep(Math.min(RETRY_MS * 2 ** tries, RETRY_MS_MAX));
    }
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
