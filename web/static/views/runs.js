// The runs that are served.

import { html } from "../vendor/preact.js";
import { useGet, useTitle } from "../hooks.js";
import { Answered, Foreign } from "../parts/bits.js";
import { States, collected } from "../parts/states.js";
import { link } from "../router.js";

export function Runs() {
  useTitle("Runs");
  const answer = useGet("runs");
  return html`<main><h1>Runs</h1><${Answered} of=${answer}>${(runs) => html`<ul class="runs">${runs.map(
    (run) => html`<li key=${run.name} class="card">
      <h2><a href=${link("run", [run.name])}><${Foreign} text=${run.name} /></a></h2>
      <p class="dim"><${Foreign} text=${run.subject} /> · ${collected(run)}</p>
      ${run.methods.map((method) => html`<div key=${method.id}><span class="dim">by <${Foreign} text=${method.explainer} /></span><${States} states=${method.states} /></div>`)}
      ${!run.methods.length && html`<p class="dim">Nothing is labelled yet.</p>`}
      <p><a href=${link("", [], { run: run.name })}>Browse its units</a></p>
    </li>`,
  )}</ul>${!runs.length && html`<p class="nothing">This service has no runs.</p>`}`}<//></main>`;
}
