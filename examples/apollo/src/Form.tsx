import type { UserError } from "@symbolon/client";
import { useId, useRef, useState, type ComponentProps, type ReactNode } from "react";

import { messageOf } from "./messages";

interface Field extends Omit<ComponentProps<"input">, "name"> {
  name: string;
  label: string;
}

interface Props {
  title: string;
  notice?: string;
  fields: Field[];
  button: string;
  /** Sends the input. Returns the errors to show next to the fields. */
  onSubmit: (input: Record<string, string>) => Promise<UserError[]>;
  children?: ReactNode;
}

/** A form that shows errors next to the fields. The inputs are not in the state, so that no password stays in memory. */
export function Form({ title, notice, fields, button, onSubmit, children }: Props) {
  const id = useId();
  const form = useRef<HTMLFormElement>(null);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const [errors, setErrors] = useState<UserError[]>([]);
  const names = fields.map(({ name }) => name);
  const toFocus = fields.findIndex(({ readOnly, defaultValue }) => !readOnly && !defaultValue);
  const others = errors.filter(({ field }) => !field || !names.includes(field));
  const alert = [failure, ...others.map(({ message }) => message)].filter(Boolean).join(" ");

  async function send(data: FormData) {
    setBusy(true);
    setFailure("");
    setErrors([]);
    try {
      const input = Object.fromEntries(names.map((name) => [name, String(data.get(name))]));
      const refused = await onSubmit(input);
      setErrors(refused);
      const first = names.find((name) => refused.some(({ field }) => field === name));
      if (first) form.current?.querySelector<HTMLInputElement>(`[name="${first}"]`)?.focus();
    } catch (error) {
      setFailure(messageOf(error));
    }
    setBusy(false);
  }

  return (
    <form
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        void send(new FormData(event.currentTarget));
      }}
    >
      <h1>{title}</h1>
      {notice && !alert && <p role="status">{notice}</p>}
      {alert && <p role="alert">{alert}</p>}
      {fields.map(({ label, ...input }, index) => {
        const own = errors.filter(({ field }) => field === input.name);
        return (
          <div key={input.name} className="field">
            <label htmlFor={`${id}${input.name}`}>{label}</label>
            <input
              id={`${id}${input.name}`}
              autoFocus={index === toFocus}
              required
              {...input}
              aria-invalid={own.length > 0}
              aria-describedby={`${id}${input.name}-errors`}
            />
            <p id={`${id}${input.name}-errors`} className="error">
              {own.map(({ message }) => message).join(" ")}
            </p>
          </div>
        );
      })}
      <button disabled={isBusy}>{button}</button>
      {children}
    </form>
  );
}
