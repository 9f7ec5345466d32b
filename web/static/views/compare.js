// Two sets of units side by side: runs, hookpoints or dictionaries.

import { html, useState } from "../vendor/preact.js";
import { post } from "../api.js";
import { site } from "../site.js";
import { useGet, useTitle } from "../hooks.js";
import { Answered, Problem } from "../parts/bits.js";
import { Progress, useJob } from "../parts/job.js";
import { amend, link } from "../router.js";
import { visible } from "../text.js";
import { Comparison } from "./compare-result.js";

const KINDS = [["text", "explanations"], ["decoder", "decoder directions"], ["coactivation", "co-activation"], ["correlation", "responses to the same stimuli"]];
const MATCHES = [["nearest", "nearest neighbours"], ["mutual", "mutual nearest"], ["one-to-one", "one to one"], ["clusters", "clusters"]];

/** A place as an option's value: run, hookpoint, dictionary; the last two may be left out. */
const written = (...place) => JSON.stringify(place);
const read = (text) => {
  const [run, hookpoint, dictionary] = JSON.parse(text);
  return { run, ...(hookpoint ? { hookpoint } : {}), ...(dictionary ? { dictionary } : {}) };
};

export function Compare({ query }) {
  useTitle("Compare");
  const runs = useGet("runs");
  if (site !== null) return html`<main><h1>Compare</h1><p class="nothing">An export compares nothing: the service does.</p></main>`;
  return html`<main class="compare"><h1>Compare</h1>
    <${Answered} of=${runs}>${(found) => html`<${Places} runs=${found} query=${query} />`}<//>
  </main>`;
}

function Places({ runs, query }) {
  const all = runs.flatMap((run) => [written(run.name), ...(run.sites.length > 1 ? run.sites.map((each) => written(run.name, each.hookpoint, each.dictionary)) : [])]);
  const given = (side, fallback) => (all.includes(query.get(side)) ? query.get(side) : fallback);
  const [a, setA] = useState(given("a", all[0]));
  const [b, setB] = useState(given("b", all.find((place) => read(place).run !== runs[0]?.name) ?? all[0]));
  const [by, setBy] = useState(query.get("by")?.split(",") ?? ["text", "coactivation"]);
  const [match, setMatch] = useState(query.get("match") ?? "nearest");
  const [error, setError] = useState(null);
  const id = query.get("job");
  const job = useJob(id);
  const start = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const begun = await post("compare", { a: read(a), b: read(b), by, match });
      amend(link("compare", [], { a, b, by: by.join(","), match, job: begun.id }));
    } catch (problem) {
      setError(problem);
    }
  };
  const toggle = (kind) => setBy(by.includes(kind) ? by.filter((one) => one !== kind) : KINDS.map(([one]) => one).filter((one) => one === kind || by.includes(one)));
  if (!runs.length) return html`<p class="nothing">This service has no runs.</p>`;
  return html`<form class="card places" onSubmit=${start}>
      <${Place} label="A" runs=${runs} value=${a} onChange=${setA} />
      <${Place} label="B" runs=${runs} value=${b} onChange=${setB} />
      <fieldset><legend>by</legend>${KINDS.map(([kind, text]) => html`<label class="inline"><input type="checkbox" checked=${by.includes(kind)} onChange=${() => toggle(kind)} /> ${text}</label>`)}</fieldset>
      <label>matching <select value=${match} onChange=${(event) => setMatch(event.target.value)}>${MATCHES.map(([key, text]) => html`<option value=${key}>${text}</option>`)}</select></label>
      <button type="submit" class="primary" disabled=${!by.length}>Compare</button>
    </form>
    <${Problem} error=${error ?? job.error} />
    ${job.data && job.data.state !== "done" && html`<${Progress} job=${job.data} />`}
    ${job.data?.state === "done" && html`<${Result} id=${id} request=${job.data.request} />`}
    ${!id && html`<p class="nothing">Two dictionaries, layers or runs: which of their units say the same, point the same way, fire on the same text.</p>`}`;
}

const Place = ({ label, runs, value, onChange }) => html`<label>${label}
  <select aria-label=${`Place ${label}`} value=${value} onChange=${(event) => onChange(event.target.value)}>
    ${runs.map((run) => html`<optgroup label=${run.name}>
      <option value=${written(run.name)}>${run.name}${run.sites.length > 1 ? ", all of it" : ""}</option>
      ${run.sites.length > 1 && run.sites.map((each) => html`<option value=${written(run.name, each.hookpoint, each.dictionary)}>${visible(`${run.name}: ${each.hookpoint} / ${each.dictionary}`)}</option>`)}
    </optgroup>`)}
  </select></label>`;

function Result({ id, request }) {
  const answer = useGet(`jobs/${id}/result`);
  return html`<${Answered} of=${answer} what="Loading the comparison">${(of) => html`<${Comparison} of=${of} runs=${[request.a.run, request.b.run]} />`}<//>`;
}
