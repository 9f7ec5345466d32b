// Contexts of a unit: the strongest, a sample of all active ones by strength, and such as left it silent.

import { html, useState } from "../vendor/preact.js";
import { useGet } from "../hooks.js";
import { Answered, Choice } from "../parts/bits.js";
import { Examples } from "../parts/tokens.js";
import { count } from "../text.js";

const FEW = 5;
const QUARTERS = ["strongest quarter", "second quarter", "third quarter", "weakest quarter"];

/** A sample by descending peak, in four parts. */
const quarters = (sample) =>
  QUARTERS.map((name, i) => [name, sample.slice(Math.round((sample.length * i) / 4), Math.round((sample.length * (i + 1)) / 4))]);

export function Contexts({ base, unit, maximum, measure }) {
  const [half, setHalf] = useState("score");
  const [whole, setWhole] = useState(false);
  const answer = useGet(`${base}/contexts`, { unit, half, limit: 64 });
  return html`<section class="card" aria-label="Contexts" aria-busy=${answer.loading}>
    <header><h2>${measure === "images" ? "Images" : measure === "stimuli" ? "Stimuli" : "Contexts"}</h2>
      <${Choice} label="Half of the documents" value=${half} onChange=${setHalf} options=${[["score", "held out"], ["explain", "explained from"]]} />
      ${measure === "images" && html`<${Choice} label="What is shown of images" value=${whole} onChange=${setWhole} options=${[[false, "masked"], [true, "whole"]]} />`}
    </header>
    <${Answered} of=${answer} what="Loading contexts">${(of) => html`
      <${Group} title="Strongest" examples=${of.top} maximum=${maximum} whole=${whole} few=${8} />
      ${of.uniform.length >= 8
        ? html`<h3 class="apart">A uniform sample of all active contexts</h3>
          ${quarters(of.uniform).map(([name, examples]) => html`<${Group} key=${name} title=${name} examples=${examples} maximum=${maximum} whole=${whole} few=${2} />`)}`
        : html`<${Group} title="A uniform sample of all active contexts" examples=${of.uniform} maximum=${maximum} whole=${whole} few=${FEW} />`}
      <${Group} title="Certified not to activate it" examples=${of.negatives} maximum=${maximum} whole=${whole} few=${0} />
      ${of.top.length + of.uniform.length === 0 && html`<p class="dim">No context of this half activates it.</p>`}
    `}<//>
  </section>`;
}

function Group({ title, examples, maximum, whole, few }) {
  const [all, setAll] = useState(false);
  if (!examples.length) return null;
  const shown = all ? examples : examples.slice(0, few);
  return html`<div class="group">
    <h3 class="minor">${title}</h3>
    ${shown.length > 0 && html`<${Examples} examples=${shown} maximum=${maximum} whole=${whole} />`}
    ${examples.length > few && html`<button type="button" class="quiet" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "Show fewer" : `Show ${shown.length ? `${count(examples.length - few)} more` : count(examples.length)}`}</button>`}
  </div>`;
}
