// Units like this one, by three kinds of evidence.

import { html, useState } from "../vendor/preact.js";
import { useGet } from "../hooks.js";
import { Answered, Choice, Foreign } from "../parts/bits.js";
import { UnitName } from "../parts/hit.js";
import { unitLink } from "../router.js";
import { number } from "../text.js";

const KINDS = [["meaning", "meaning"], ["decoder", "decoder"], ["coactivation", "co-activation"]];

export function Neighbours({ base, run, unit, collected, explained }) {
  const kinds = KINDS.filter(([kind]) => (kind === "meaning" ? explained : collected));
  const [by, setBy] = useState(kinds[0]?.[0]);
  const answer = useGet(by ? `${base}/neighbours` : null, { unit, by, k: 10 });
  if (!by) return null;
  return html`<section class="card" aria-label="Neighbours" aria-busy=${answer.loading}>
    <h2>Neighbours</h2>
    <${Choice} label="Neighbours by" options=${kinds} value=${by} onChange=${setBy} />
    <${Answered} of=${answer} what="Looking for neighbours">${(found) =>
      found.length
        ? html`<ol class="neighbours">${found.map(
            (each) => html`<li key=${each.unit}>
              <span class="value">${number(each.value)}${each.error > 0 && html`<span class="dim block">± ${number(each.error)}</span>`}</span>
              <div><a href=${unitLink(run, each.unit)}><${Foreign} text=${each.text ?? "not explained"} /></a><p class="meta"><${UnitName} unit=${each.unit} /></p></div>
            </li>`,
          )}</ol>`
        : html`<p class="dim">None is like it.</p>`}<//>
  </section>`;
}
