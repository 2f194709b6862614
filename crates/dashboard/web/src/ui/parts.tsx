// What every screen is made of.

import { useEffect, useId, useRef, type ReactNode } from "react";
import { useStore } from "../store";
import { LANGUAGES, language, speak, useSay, type Language } from "../text";
import { chooseTheme, theme, type Theme } from "../theme";
import { Icon, Mark, type IconName } from "./icons";

export function Shell({ children, wide = false }: { children: ReactNode; wide?: boolean }) {
  return (
    <div className="shell">
      <header className="top">
        <span className="brand">
          <Mark /> witan
        </span>
        <Preferences />
      </header>
      <main className={wide ? "page wide" : "page"}>{children}</main>
    </div>
  );
}

export function Preferences() {
  const say = useSay();
  const spoken = useStore(language);
  const shown = useStore(theme);
  return (
    <div className="preferences">
      <select aria-label={say("language")} value={spoken} onChange={(event) => speak(event.target.value as Language)}>
        {Object.entries(LANGUAGES).map(([tag, name]) => (
          <option key={tag} value={tag} lang={tag}>
            {name}
          </option>
        ))}
      </select>
      <select aria-label={say("theme")} value={shown} onChange={(event) => chooseTheme(event.target.value as Theme)}>
        <option value="auto">{say("themeAuto")}</option>
        <option value="light">{say("themeLight")}</option>
        <option value="dark">{say("themeDark")}</option>
      </select>
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: string;
  value: string;
  change: (value: string) => void;
  type?: "text" | "password";
  required?: boolean;
  maxLength?: number;
  autoComplete?: string;
  autoFocus?: boolean;
}

export function Field({ label, hint, value, change, type = "text", ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={value}
        onChange={(event) => change(event.target.value)}
        aria-describedby={hint ? `${id}-hint` : undefined}
        spellCheck={false}
        {...rest}
      />
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: { id: string; label: string }[];
  change: (id: string) => void;
}

export function Choice({ label, value, options, change }: ChoiceProps) {
  const id = useId();
  if (options.length === 0) return null;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => change(event.target.value)}>
        {options.map((option) => (
          <option key={option.id} value={option.id}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}

interface RoundProps {
  icon: IconName;
  label: string;
  onClick: () => void;
  pressed?: boolean | undefined;
  expanded?: boolean | undefined;
  tone?: "plain" | "off" | "danger";
  badge?: number;
  disabled?: boolean;
  wide?: boolean;
}

/** A button of the call's bar: a sign, and its name below where there is room. */
export function Round({ icon, label, onClick, pressed, expanded, tone = "plain", badge = 0, disabled = false }: RoundProps) {
  return (
    <button
      type="button"
      className={`round ${tone}`}
      onClick={onClick}
      aria-pressed={pressed}
      aria-expanded={expanded}
      disabled={disabled}
      title={label}
    >
      <span className="disc">
        <Icon name={icon} />
        {badge > 0 && (
          <span className="badge" aria-hidden="true">
            {badge > 99 ? "99+" : badge}
          </span>
        )}
      </span>
      <span className="round-label">{label}</span>
    </button>
  );
}

/** A question above everything else. The browser holds the focus inside, and Escape closes it. */
export function Dialog({ title, children, close }: { title: string; children: ReactNode; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** The heading of a screen takes the focus when the screen comes, so that it is read out. */
export function Title({ children }: { children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function Problem({ children }: { children: ReactNode }) {
  return (
    <div role="alert" className="problem">
      {children}
    </div>
  );
}

/** The initials of a name, on a colour of its own. */
export function Avatar({ name, id, large = false }: { name: string; id: string; large?: boolean }) {
  const words = name.trim().split(/\s+/);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("");
  const hue = [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 8, 7);
  return (
    <span className={`avatar hue-${hue} ${large ? "large" : ""}`} aria-hidden="true">
      {initials.toUpperCase() || "·"}
    </span>
  );
}
