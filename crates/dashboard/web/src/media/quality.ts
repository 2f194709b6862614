// How good the connection is, from what the browser counts.

import type { types } from "mediasoup-client";

export type Quality = "good" | "fair" | "poor" | "unknown";

export interface Totals {
  received: number;
  lost: number;
}

const LOSS_FAIR = 0.03;
const LOSS_POOR = 0.1;
const ROUND_TRIP_FAIR_S = 0.25;
const ROUND_TRIP_POOR_S = 0.6;

/** Loss since `before` on what we receive, loss that receivers report of what we send, and the round trip. */
export async function measure(
  transports: types.Transport[],
  before: Totals | null,
): Promise<{ quality: Quality; totals: Totals }> {
  const totals: Totals = { received: 0, lost: 0 };
  let roundTrip = 0;
  let lossOfSent = 0;
  let known = false;
  for (const transport of transports) {
    if (transport.closed) continue;
    const report = await transport.getStats();
    report.forEach((entry: Record<string, unknown>) => {
      const number = (field: string) => (typeof entry[field] === "number" ? entry[field] : 0);
      if (entry["type"] === "inbound-rtp") {
        totals.received += number("packetsReceived");
        totals.lost += Math.max(0, number("packetsLost"));
      } else if (entry["type"] === "remote-inbound-rtp") {
        lossOfSent = Math.max(lossOfSent, number("fractionLost"));
      } else if (entry["type"] === "candidate-pair" && entry["nominated"] === true) {
        known = true;
        roundTrip = Math.max(roundTrip, number("currentRoundTripTime"));
      }
    });
  }
  if (!known) return { quality: "unknown", totals };
  const lost = Math.max(0, totals.lost - (before?.lost ?? 0));
  const received = Math.max(0, totals.received - (before?.received ?? 0));
  const loss = Math.max(lossOfSent, lost + received > 0 ? lost / (lost + received) : 0);
  const poor = loss > LOSS_POOR || roundTrip > ROUND_TRIP_POOR_S;
  const fair = loss > LOSS_FAIR || roundTrip > ROUND_TRIP_FAIR_S;
  return { quality: poor ? "poor" : fair ? "fair" : "good", totals };
}
