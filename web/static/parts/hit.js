// A unit in a list.

import { html } from "../vendor/preact.js";
import { unitLink } from "../router.js";
import { number, parts, percent, visible } from "../text.js";
import { Foreign, State } from "./bits.js";
import { Scores } from "./score.js";
import { Strip } from "./tokens.js";

/** `layers.12.mlp · sae/803-`, the whole id on hover. */
export function UnitName({ unit }) {
  const { hookpoint, dictionary, index } = parts(unit);
  return html`<span class="unit" title=${visible(unit)}><${Foreign} text=${hookpoint} /> <span class="dim">/</span> <${Foreign} text=${dictionary} /> <span class="dim">/</span> <b>${index}</b></span>`;
}

/** The explanation, or why there is none. */
export const Says = ({ label }) =>
  label.explanation
    ? html`<${Foreign} text=${label.explanation.text} />`
    : html`<span class="dim"><${Foreign} text=${label.reason || "no explanation"} /></span>`;

/** One row: explanation, unit, state, scores beside floors, the strongest context. */
export function HitRow({ hit, several, methods, onLeave }) {
  const { label } = hit;
  const image = hit.strip?.image;
  return html`<article class=${`row ${image ? "pictured" : ""}`}>
    ${image && html`<${Strip} example=${hit.strip} />`}
    <div class="what">
      <a class="says" href=${unitLink(hit.run, label.unit)} onClick=${onLeave}><${Says} label=${label} /></a>
      <p class="meta">
        ${label.state && html`<${State} state=${label.state} />`}
        ${several && html`<span class="tag"><${Foreign} text=${hit.run} /></span>`}
        <${UnitName} unit=${label.unit} />
        ${methods && label.method && html`<span class="dim" title="method">by <${Foreign} text=${label.method} /></span>`}
        ${hit.density !== null && html`<span class="dim" title="share of contexts that activate it">fires in ${percent(hit.density)}</span>`}
        ${hit.similarity !== null && html`<span class="dim" title="cosine of query and explanation">near ${number(hit.similarity)}</span>`}
        ${hit.share !== undefined && html`<span class="dim">${percent(hit.share)} of its largest activation</span>`}
        ${hit.same > 1 && html`<span class="dim" title="labels that say the same">×${hit.same}</span>`}
      </p>
      ${!image && html`<${Strip} example=${hit.strip} />`}
    </div>
    <${Scores} scores=${label.scores} />
  </article>`;
}
