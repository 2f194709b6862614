// What is written in the call.

import { useEffect, useRef, useState, type FormEvent, type KeyboardEvent } from "react";
import type { Message, Session } from "../api/types";
import type { Call } from "../call";
import { clock, useSay } from "../text";
import { Icon } from "./icons";
import { nameOf } from "./stage";

const MESSAGE_CHARS_MAX = 4_000;

interface ChatProps {
  call: Call;
  session: Session;
  messages: Message[];
}

export function Chat({ call, session, messages }: ChatProps) {
  const say = useSay();
  const [text, setText] = useState("");
  const [sending, setSending] = useState(false);
  const end = useRef<HTMLDivElement>(null);
  const mayWrite = call.self?.role !== "OBSERVER";
  // Newer browsers answer with a promise, which is no clean-up.
  useEffect(() => {
    void end.current?.scrollIntoView({ block: "end" });
  }, [messages.length]);

  async function send(event?: FormEvent) {
    event?.preventDefault();
    const said = text.trim();
    if (said === "" || sending) return;
    setSending(true);
    if (await call.send(said)) setText("");
    setSending(false);
  }

  function key(event: KeyboardEvent) {
    // Enter that ends a composed character (Japanese, say) sends nothing.
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      void send();
    }
  }

  return (
    <div className="chat">
      <div className="messages" role="log" aria-live="polite" aria-label={say("chat")} tabIndex={0}>
        {messages.length === 0 && <p className="hint">{say("noMessages")}</p>}
        <ol>
          {messages.map((message) => (
            <li key={message.id} className={message.authorId === call.me ? "own" : ""}>
              <p className="message-head">
                <strong>{author(message)}</strong> <time dateTime={message.sentAt}>{clock(message.sentAt)}</time>
              </p>
              <p className="message-text">{textOf(message)}</p>
            </li>
          ))}
        </ol>
        <div ref={end} />
      </div>
      {mayWrite && (
        <form className="compose" onSubmit={(event) => void send(event)}>
          <textarea
            aria-label={say("messagePlaceholder")}
            placeholder={say("messagePlaceholder")}
            value={text}
            maxLength={MESSAGE_CHARS_MAX}
            rows={2}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={key}
          />
          <button type="submit" className="primary icon-only" aria-label={say("send")} disabled={sending || text.trim() === ""}>
            <Icon name="send" />
          </button>
        </form>
      )}
      <p className="hint">{say("chatKept")}</p>
    </div>
  );

  function author(message: Message): string {
    if (message.authorId === call.me) return say("you");
    const participant = session.participants.find(({ id }) => id === message.authorId);
    return participant ? nameOf(participant, say) : say("someone");
  }

  function textOf(message: Message): string {
    if (message.removedAt !== null) return say("messageRemoved");
    return message.text?.value ?? say("erased");
  }
}
