// How many units stand where.

import { html } from "../vendor/preact.js";
import { count, plural, words } from "../text.js";

const ORDER = ["accepted", "rejected", "explained"];

/** One bar in parts, and the numbers in words. */
export function States({ states }) {
  const given = Object.entries(states).filter(([, n]) => n > 0)
    .sort(([a], [b]) => (ORDER.indexOf(a) + 99) % 99 - (ORDER.indexOf(b) + 99) % 99);
  const total = given.reduce((sum, [, n]) => sum + n, 0);
  return html`<div class="states">
    <div class="stack" aria-hidden="true">${given.map(([state, n]) => html`<span key=${state} class=${state} style=${{ width: `${(100 * n) / total}%` }}></span>`)}</div>
    <ul>${given.map(([state, n]) => html`<li key=${state}><span class=${`state ${state}`}>${words(state)}</span> <b>${count(n)}</b></li>`)}</ul>
  </div>`;
}

/** What was collected, in a line. */
export function collected(run) {
  const units = run.sites.reduce((sum, site) => sum + site.units, 0);
  const counts = Object.entries(run.counts).filter(([, n]) => n > 0).map(([name, n]) => `${count(n)} ${words(name)}`).join(", ");
  return [plural(units, "unit"), `${run.sites.length} ${run.sites.length === 1 ? "place" : "places"}`, counts,
    run.measure && !run.complete ? "still collecting" : ""].filter(Boolean).join(" · ");
}
