// What the judge was asked about the explanation, and answered.

import { html, useState } from "../vendor/preact.js";
import { useFeed } from "../parts/list.js";
import { Choice, Foreign, Loading, Problem } from "../parts/bits.js";
import { Shown } from "../parts/tokens.js";
import { number, words } from "../text.js";

export function Answers({ base, unit, scorers }) {
  const [scorer, setScorer] = useState(scorers[0] ?? "");
  const [wrong, setWrong] = useState("wrong");
  const feed = useFeed(`${base}/answers`, { unit, scorer, wrong: wrong === "wrong" ? "true" : undefined }, 20, "limit");
  const items = Array.from({ length: feed.total }, (_, i) => feed.item(i));
  return html`<div class="bar-of-choices">
      <${Choice} label="Scorer" options=${scorers.map((name) => [name, name])} value=${scorer} onChange=${setScorer} />
      <${Choice} label="Which answers" options=${[["wrong", "wrong ones"], ["all", "all"]]} value=${wrong} onChange=${setWrong} />
    </div>
    <${Problem} error=${feed.error} />
    ${feed.loading && html`<${Loading} />`}
    ${!feed.loading && !items.length && !feed.error && html`<p class="dim">${wrong === "wrong" ? "No answer was wrong." : "No answers are kept."}</p>`}
    <ol class="answers">${items.map((answer, i) => html`<li key=${i}><${Answer} answer=${answer} /></li>`)}</ol>
    ${feed.more && html`<button type="button" onClick=${() => feed.ensure(0, items.length)}>More</button>`}`;
}

const example = (passage) => ({ ...passage, context: "", activations: [], peak: 0 });

function Answer({ answer }) {
  const verdict = answer.failure ? words(answer.failure) : answer.right ? "right" : "wrong";
  const truth = answer.passages.length > 1 ? (answer.truth ? "the first fits" : "the second fits") : answer.truth ? "fits" : "does not fit";
  return html`<p class="meta">
      <span class=${`verdict ${answer.right ? "right" : "wrong"}`}>${verdict}</span>
      <span>truth: ${truth}</span><span>judge: ${number(answer.probability)}</span>
      ${answer.stratum && html`<span class="dim">${/^\d+$/.test(answer.stratum) ? `decile ${answer.stratum}` : words(answer.stratum)}</span>`}
      ${answer.reason && html`<span class="dim"><${Foreign} text=${answer.reason} /></span>`}
    </p>
    ${answer.passages.map((passage, i) => html`<${Shown} key=${i} example=${example(passage)} marks=${passage.marks.length ? passage.marks : undefined} />`)}`;
}
