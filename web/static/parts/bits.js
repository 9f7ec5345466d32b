// Small things that every view uses.

import { html, useState } from "../vendor/preact.js";
import { visible, words } from "../text.js";
import { said } from "../store.js";

/** Text of a corpus or a model: its own direction, control characters as signs. */
export const Foreign = ({ text }) => html`<bdi dir="auto">${visible(text)}</bdi>`;

/** A state in words, with a dot. */
export const State = ({ state }) => html`<span class="state ${state}">${words(state)}</span>`;

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status">${what}…</p>`;

/** Why there is nothing to see, in the service's words, with a way to try again. */
export function Problem({ error, again }) {
  if (!error || error.error === "offline") return null;
  return html`<div class="problem" role="alert">
    <p><${Foreign} text=${error.message} /></p>
    ${again && !(error.status >= 400 && error.status < 429) && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** What a request came to: its problem, that it is under way, or what `children(data)` makes of the answer. */
export function Answered({ of, children, what }) {
  if (of.error && !of.data) return html`<${Problem} error=${of.error} again=${of.again} />`;
  if (!of.data) return html`<${Loading} what=${what} />`;
  return children(of.data);
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Off loopback without TLS browsers keep the clipboard from pages; the old way still works.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A button that copies what `text()` returns (or resolves to). */
export function Copy({ text, children }) {
  const [done, setDone] = useState("");
  const copy = async () => {
    try {
      await toClipboard(await text());
      setDone("Copied");
    } catch (error) {
      setDone("Could not copy");
    }
    said.set("Copied to the clipboard.");
    setTimeout(() => setDone(""), 1600);
  };
  return html`<button type="button" class="quiet" onClick=${copy}>${done || children}</button>`;
}

/** Choices of which one is taken; buttons in a row. */
export function Choice({ label, options, value, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([key, text]) =>
        html`<button type="button" key=${key} aria-pressed=${key === value} onClick=${() => onChange(key)}>${text}</button>`,
    )}
  </div>`;
}

/** A section that is only made, and asked for, once it is opened. */
export function Later({ title, children, id }) {
  const [open, setOpen] = useState(false);
  return html`<details class="card later" id=${id} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary><h2>${title}</h2></summary>
    ${open && children()}
  </details>`;
}

/** A bar of a share of one. */
export const Share = ({ value }) =>
  html`<span class="share" aria-hidden="true"><span style=${{ width: `${100 * Math.min(1, Math.max(0, value || 0))}%` }}></span></span>`;
