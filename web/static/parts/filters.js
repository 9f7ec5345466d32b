// What a list is narrowed by; all of it ends up in the page's address.

import { html } from "../vendor/preact.js";
import { site } from "../site.js";
import { visible, words } from "../text.js";

const quoted = (text) => JSON.stringify(text);
const share = (percent) => Number(percent) / 100;

/** The filters as one condition, in the language of `--where`; of states as well where `states` are given. */
export function conditions({ layer, dictionary, above, least, most, where }, states = []) {
  return [
    states.length > 0 && `state in (${states.map((state) => `${quoted(state)},`).join("")})`,
    layer !== "" && `layer == ${Number(layer)}`,
    dictionary && `dictionary == ${quoted(dictionary)}`,
    above && `${above}.excess_low > 0`,
    least !== "" && Number.isFinite(share(least)) && `density >= ${share(least)}`,
    most !== "" && Number.isFinite(share(most)) && `density <= ${share(most)}`,
    where.trim() && `(${where.trim()})`,
  ].filter(Boolean).join(" and ");
}

const unique = (values) => [...new Set(values)];

/** `one`: a single run is listed, the first where none is chosen. */
export function Filters({ asked, runs, one, change }) {
  const chosen = runs.filter((run) => !asked.run || run.name === asked.run);
  const sites = chosen.flatMap((run) => run.sites);
  const layers = unique(sites.map((each) => each.layer).filter((layer) => layer !== null)).sort((a, b) => a - b);
  const dictionaries = unique(sites.map((each) => each.dictionary)).sort();
  const fields = unique(chosen.flatMap((run) => Object.keys(run.fields)));
  const scorers = fields.filter((name) => name.endsWith(".excess_low")).map((name) => name.slice(0, -".excess_low".length));
  const states = ["accepted", "rejected", "explained"];
  const toggle = (state) =>
    change({ state: asked.state.includes(state) ? asked.state.filter((one) => one !== state) : [...asked.state, state] });
  const used = [asked.layer, asked.dictionary, asked.above, asked.least, asked.most, asked.where].filter((value) => value !== "").length + asked.state.length;
  return html`<div class="filters" role="group" aria-label="Filters">
    ${runs.length > 1 && html`<${Select} label="Run" value=${asked.run} all=${one ? runs[0].name : "all runs"}
      options=${runs.slice(one ? 1 : 0).map((run) => [run.name, run.name])} onChange=${(run) => change({ run })} />`}
    <div class="chips" role="group" aria-label="State">${states.map(
      (state) => html`<button type="button" class="chip" aria-pressed=${asked.state.includes(state)} onClick=${() => toggle(state)}>${words(state)}</button>`,
    )}</div>
    ${site === null && html`
      ${layers.length > 1 && html`<${Select} label="Layer" value=${asked.layer} all="any layer" options=${layers.map((layer) => [String(layer), `layer ${layer}`])} onChange=${(layer) => change({ layer })} />`}
      ${dictionaries.length > 1 && html`<${Select} label="Kind" value=${asked.dictionary} all="any kind" options=${dictionaries.map((name) => [name, name])} onChange=${(dictionary) => change({ dictionary })} />`}
      ${scorers.length > 0 && html`<${Select} label="Score" value=${asked.above} all="any score" options=${scorers.map((name) => [name, `${name} above floor`])} onChange=${(above) => change({ above })} />`}
      ${one && asked.by !== "firing" && html`<${Select} label="Order" value=${asked.sort} all="best first" options=${orders(scorers, fields)} onChange=${(sort) => change({ sort })} />`}
      <details class="more">
        <summary>More${used ? ` (${used} set)` : ""}</summary>
        <div class="panel">
          <label>Fires in at least <input type="number" min="0" max="100" step="any" value=${asked.least} onChange=${(event) => change({ least: event.target.value })} /> %</label>
          <label>at most <input type="number" min="0" max="100" step="any" value=${asked.most} onChange=${(event) => change({ most: event.target.value })} /> % of contexts</label>
          <label class="where">Condition <input type="text" spellcheck=${false} value=${asked.where} placeholder='detection.auroc > 0.8 and layer >= 10'
            onChange=${(event) => change({ where: event.target.value })} /></label>
          <p class="dim">Fields: ${fields.join(", ") || "none, as this run has no index"}.</p>
        </div>
      </details>
      ${used > 0 && html`<button type="button" class="quiet" onClick=${() => change({ layer: "", dictionary: "", above: "", least: "", most: "", where: "", state: [] })}>Clear</button>`}`}
  </div>`;
}

const orders = (scorers, fields) => [
  ["unit", "by unit"],
  ...scorers.map((name) => [`-${name}`, `highest ${name}`]),
  ...scorers.map((name) => [name, `lowest ${name}`]),
  ...(fields.includes("density") ? [["density", "rarest"], ["-density", "densest"]] : []),
];

const Select = ({ label, value, all, options, onChange }) =>
  html`<select aria-label=${label} value=${value} class=${value ? "set" : ""} onChange=${(event) => onChange(event.target.value)}>
    <option value="">${all}</option>
    ${options.map(([key, text]) => html`<option key=${key} value=${key}>${visible(text)}</option>`)}
  </select>`;
