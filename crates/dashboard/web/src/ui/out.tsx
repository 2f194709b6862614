// After the call: why it is over, and what the record holds about whoever was in it.

import type { Receipt } from "../api/types";
import { duration, time, useSay } from "../text";
import type { Out as Why, Visit } from "../visit";
import { Icon } from "./icons";
import { Shell, Title } from "./parts";

interface OutProps {
  visit: Visit;
  why: Why;
  receipt: Receipt | null;
  reading: boolean;
}

const FINAL: Why[] = ["ended", "removed", "denied", "moved"];

export function Out({ visit, why, receipt, reading }: OutProps) {
  const say = useSay();
  return (
    <Shell>
      <section className="card">
        <Title>{say(`out_${why}`)}</Title>
        <p className="lead">{say(`outLead_${why}`)}</p>
        {!FINAL.includes(why) && (
          <div className="actions start">
            <button type="button" className="primary" onClick={() => visit.prejoin()}>
              {say("comeBack")}
            </button>
          </div>
        )}
      </section>
      {reading && (
        <p className="resuming" role="status">
          {say("receiptReading")}
        </p>
      )}
      {receipt?.session?.participant && <ReceiptCard receipt={receipt} />}
    </Shell>
  );
}

function ReceiptCard({ receipt }: { receipt: Receipt }) {
  const say = useSay();
  const session = receipt.session;
  const participant = session?.participant;
  if (!session || !participant) return null;
  const joined = participant.joinedAt;
  const left = participant.finishedAt ?? session.finishedAt;
  const covered = Number(receipt.checkpoint?.treeSize ?? 0) >= Number(session.position);
  const rows: [string, string, boolean?][] = [
    [say("receiptName"), participant.displayName.value ?? say("erased")],
    [say("receiptRole"), say(`role_${participant.role}`)],
    [say("receiptJoined"), time(joined)],
    [say("receiptLeft"), time(left)],
    ...(joined && left ? ([[say("receiptDuration"), duration(Date.parse(left) - Date.parse(joined))]] as [string, string][]) : []),
    [say("receiptBegan"), time(session.startedAt)],
    ...(session.finishedAt ? ([[say("receiptEnded"), time(session.finishedAt)]] as [string, string][]) : []),
    [say("receiptSession"), session.id, true],
    [say("receiptParticipant"), participant.id, true],
    [say("receiptPosition"), session.position, true],
    [say("receiptCheckpoint"), covered ? say("receiptCovers", { size: receipt.checkpoint?.treeSize ?? "" }) : say("receiptNotYet")],
  ];
  return (
    <section className="card receipt" aria-labelledby="receipt">
      <div className="panel-row">
        <h2 id="receipt">{say("receipt")}</h2>
        <button type="button" className="small" onClick={() => save(receipt)}>
          {say("receiptSave")}
        </button>
      </div>
      <p className="hint">{say("receiptLead")}</p>
      <dl>
        {rows.map(([name, value, exact]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{exact ? <code>{value}</code> : value}</dd>
          </div>
        ))}
      </dl>
      <details>
        <summary>{say("receiptSteps")}</summary>
        <ol className="steps">
          {participant.timeline.map(({ at, step, detail }, index) => (
            <li key={index}>
              <time dateTime={at}>{time(at)}</time> <code>{detail === null ? step : `${step} ${detail}`}</code>
            </li>
          ))}
        </ol>
      </details>
      <p className="hint with-icon">
        <Icon name="check" /> {say("receiptWhat")}
      </p>
    </section>
  );
}

/** Gives the receipt as a file, with the log's signed head in it, as the API answered. */
function save(receipt: Receipt): void {
  const file = new Blob([JSON.stringify(receipt, null, 2)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `witan-${receipt.session?.id ?? "receipt"}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
