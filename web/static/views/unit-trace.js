// How an explanation was come by: each node's findings, what was asked and answered in it.

import { html } from "../vendor/preact.js";
import { useGet } from "../hooks.js";
import { Answered, Foreign } from "../parts/bits.js";
import { count, visibleLines, words } from "../text.js";

export function Trace({ base, unit, method }) {
  const answer = useGet(`${base}/trace`, { unit, method });
  return html`<${Answered} of=${answer} what="Loading the trace">${(steps) => {
    if (!steps.length) return html`<p class="dim">No trace was kept.</p>`;
    const seen = new Set();
    return html`<ol class="trace">${steps.map((step, i) => html`<li key=${i}>
      <h3>${words(step.node)}</h3>
      <dl class="facts">${Object.entries(step.facts).map(([name, value]) => html`<dt>${words(name)}</dt><dd><${Fact} value=${value} /></dd>`)}</dl>
      ${step.calls.map((call) => html`<${Call} call=${call} seen=${seen} />`)}
    </li>`)}</ol>`;
  }}<//>`;
}

const line = (value) =>
  value === null ? "–" : typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : v}`).join(", ") : String(value);

function Fact({ value }) {
  if (!Array.isArray(value)) return html`<${Foreign} text=${line(value)} />`;
  if (!value.length) return html`none`;
  return html`<ul>${value.map((item) => html`<li><${Foreign} text=${line(item)} /></li>`)}</ul>`;
}

/** What was said before (instructions that repeat) is left out. */
function Call({ call, seen }) {
  const fresh = call.messages.filter(([, content]) => !seen.has(text(content)) && seen.add(text(content)));
  return html`<details class="inner call">
    <summary>request <span class="dim">${count(call.prompt_tokens)} + ${count(call.completion_tokens)} tokens</span>
      <span class=${call.failure ? "failed" : "answered"}>→ <${Foreign} text=${`${call.failure ? `${call.failure}: ` : ""}${call.answer}`.slice(0, 160)} /></span></summary>
    ${fresh.map(([role, content]) => html`<h4>${role}</h4><pre dir="auto" tabindex="0" role="group" aria-label=${`Message of ${role}`}>${visibleLines(text(content))}</pre>`)}
    <h4>answer</h4><pre dir="auto" tabindex="0" role="group" aria-label="Answer">${visibleLines(call.answer)}</pre>
  </details>`;
}

const text = (content) => (typeof content === "string" ? content : JSON.stringify(content));
