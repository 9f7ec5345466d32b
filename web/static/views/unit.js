// All that is known of one unit.

import { html, useEffect } from "../vendor/preact.js";
import { get, segment } from "../api.js";
import { site } from "../site.js";
import { useGet, useKeys, useTitle } from "../hooks.js";
import { Answered, Copy, Foreign, Later, Share, State } from "../parts/bits.js";
import { Chart, whole } from "../parts/chart.js";
import { Says } from "../parts/hit.js";
import { ScoreTable, recalls } from "../parts/score.js";
import { go, link, unitLink } from "../router.js";
import { lastList } from "../store.js";
import { activation, chance, count, number, parts, percent, visible, words } from "../text.js";
import { Answers } from "./unit-answers.js";
import { Contexts } from "./unit-contexts.js";
import { Try } from "./unit-live.js";
import { Neighbours } from "./unit-neighbours.js";
import { Trace } from "./unit-trace.js";

const density = ({ n_active, n_contexts }) => (n_contexts ? n_active / n_contexts : 0);

export function Unit({ run, unit }) {
  const base = `runs/${segment(run)}`;
  const answer = useGet(`${base}/unit`, { unit });
  const about = useGet(base);
  const label = answer.data?.labels[0];
  useTitle(visible(label?.explanation?.text ?? unit));
  useEffect(() => scrollTo({ top: 0 }), [run, unit]);
  return html`<main class="unit-page">
    <${Answered} of=${answer} what="Loading the unit">${(of) => html`<${Page} key=${`${run}/${of.unit}`} run=${run} of=${of} about=${about.data} base=${base} />`}<//>
  </main>`;
}

function Page({ run, of, about, base }) {
  const label = of.labels[0];
  const { statistics } = of;
  const collected = of.activity !== null;
  return html`
    <${Heading} run=${run} of=${of} label=${label} base=${base} about=${about} />
    <div class="columns">
      <div class="main">
        ${of.labels.map((each, i) => html`<${Explained} key=${each.method} label=${each} newest=${i === 0} candidates=${i === 0 ? of.candidates : []} method=${about?.methods.find((method) => method.id === each.method)} several=${of.labels.length > 1} />`)}
        ${collected && html`<${Contexts} base=${base} unit=${of.unit} maximum=${statistics.maximum} measure=${about?.measure} />`}
        ${about?.live && html`<${Try} base=${base} unit=${of.unit} maximum=${statistics?.maximum} />`}
        ${label?.explanation && html`<${Later} title="Answers of the judge" id="answers">${() => html`<${Answers} base=${base} unit=${of.unit} scorers=${label.scores.map((score) => score.scorer)} />`}<//>`}
        ${label && html`<${Later} title="How the explanation came about" id="trace">${() => html`<${Trace} base=${base} unit=${of.unit} method=${label.method} />`}<//>`}
      </div>
      <aside aria-label="About the unit">
        ${of.prediction && html`<${Predicted} of=${of.prediction} />`}
        ${statistics && html`<${Activity} statistics=${statistics} edges=${of.edges} />`}
        ${of.output_tokens && html`<${OutputTokens} of=${of.output_tokens} />`}
        <${Neighbours} base=${base} run=${run} unit=${of.unit} collected=${collected} explained=${Boolean(label?.explanation)} />
      </aside>
    </div>`;
}

/** Units before and after: of the last list, or by index where one came from elsewhere. */
function around(run, unit, about) {
  const list = lastList.get();
  const at = list.findIndex((each) => each.run === run && each.unit === unit);
  if (at >= 0) return [list[at - 1], list[at + 1]];
  const { subject, hookpoint, dictionary, index } = parts(unit);
  const place = about?.sites.find((each) => each.hookpoint === hookpoint && each.dictionary === dictionary);
  const [n, sign] = [parseInt(index, 10), index.endsWith("-") ? "-" : ""];
  const by = (step) =>
    place && n + step >= 0 && n + step < place.units && site === null
      ? { run, unit: `${subject}/${hookpoint}/${dictionary}/${n + step}${sign}` }
      : undefined;
  return [by(-1), by(1)];
}

function Heading({ run, of, label, base, about }) {
  const [before, after] = around(run, of.unit, about);
  const href = (other) => unitLink(other.run, other.unit);
  useKeys((event, typing) => {
    if (typing || document.activeElement?.closest(".tokens, .picture")) return;
    const other = { ArrowLeft: before, p: before, ArrowRight: after, n: after }[event.key];
    if (other) go(href(other));
  });
  const { subject, hookpoint, dictionary, index } = parts(of.unit);
  const step = (other, text, key) =>
    other ? html`<a class="button" href=${href(other)} title=${`key: ${key}`}>${text}</a>` : html`<span class="button off" aria-hidden="true">${text}</span>`;
  return html`<header class="heading">
    <nav aria-label="Place"><ol class="crumbs">
      <li><a href=${link("run", [run])}><${Foreign} text=${run} /></a></li>
      <li><${Foreign} text=${subject} /></li><li><${Foreign} text=${hookpoint} /></li><li><${Foreign} text=${dictionary} /></li><li><b>${index}</b></li>
    </ol></nav>
    <h1>${label ? html`<${Says} label=${label} />` : html`<span class="dim">Not labelled</span>`}</h1>
    <div class="tools">
      ${label && html`<${State} state=${label.state} />`}
      ${of.activity && html`<span class="tag">${of.activity}</span>`}
      ${of.statistics && html`<span class="dim">fires in ${percent(density(of.statistics))} of contexts</span>`}
      <span class="spring"></span>
      <${Copy} text=${() => of.unit}>Copy id<//>
      <${Copy} text=${() => location.href}>Copy link<//>
      <${Copy} text=${async () => JSON.stringify(await get(`${base}/unit`, { unit: of.unit }), null, 2)}>Copy as JSON<//>
      <span class="steps">${step(before, "← previous", "p")}${step(after, "next →", "n")}</span>
    </div>
  </header>`;
}

/** One method's explanation: candidates that lost, facets, scores, recall by decile. */
function Explained({ label, newest, candidates, method, several }) {
  const { explanation, scores } = label;
  const deciles = scores.flatMap((score) => recalls(score).map(([decile, recall]) => ({ scorer: score.scorer, decile, recall })));
  return html`<section class="card explained" aria-label=${`Explanation by ${method?.explainer ?? label.method}`}>
    <header>
      <h2>${newest ? "Explanation" : "Earlier explanation"}</h2>
      <span class="dim">by <${Foreign} text=${method?.explainer ?? explanation?.provenance?.explainer ?? label.method} /></span>
      ${(several || !newest) && html`<${State} state=${label.state} />`}
    </header>
    ${!newest && html`<p class="says"><${Says} label=${label} /></p>`}
    ${label.reason && html`<p class="dim"><${Foreign} text=${label.reason} /></p>`}
    ${explanation?.facets.length > 0 && html`<${Facets} facets=${explanation.facets} />`}
    ${scores.length > 0 ? html`<${ScoreTable} scores=${scores} />` : html`<p class="dim">Not scored.</p>`}
    ${deciles.length > 0 && html`<${Recall} deciles=${deciles} />`}
    <${Candidates} candidates=${candidates} />
    ${newest && html`<${Provenance} explanation=${explanation} method=${label.method} />`}
  </section>`;
}

const Facets = ({ facets }) => html`<h3>Facets <span class="dim">by their share of the activation</span></h3>
  <ul class="facets">
    ${facets.map((facet) => html`<li key=${facet.text}><span class="value">${percent(facet.share)}</span><${Share} value=${facet.share} /><${Foreign} text=${facet.text} /></li>`)}
  </ul>`;

const Recall = ({ deciles }) => {
  const said = deciles.map(({ scorer, decile, recall }) => `${scorer} decile ${decile}: ${number(recall)}`).join("; ");
  const scorers = [...new Set(deciles.map(({ scorer }) => scorer))];
  return html`<h3>Recall by strength <span class="dim">share of active contexts recognised, from the weakest decile to the strongest</span></h3>
    <${Chart} label=${`Recall by decile. ${said}`} deps=${[said]} draw=${(Plot) => ({
      height: 160, marginLeft: 34,
      y: { domain: [0, 1], ticks: 3, label: null, grid: true }, x: { label: "decile of the peak", type: "point", domain: [...new Set(deciles.map((d) => d.decile))].sort((a, b) => a - b) },
      color: { domain: scorers, range: ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"], legend: scorers.length > 1 },
      marks: [
        Plot.line(deciles, { x: "decile", y: "recall", stroke: "scorer", strokeWidth: 2 }),
        Plot.dot(deciles, { x: "decile", y: "recall", fill: "scorer", r: 3, tip: true }),
      ],
    })} />`;
};

function Provenance({ explanation, method }) {
  if (!explanation) return null;
  const facts = { method, side: explanation.side, "validation AUROC": number(explanation.validation), ...explanation.provenance };
  return html`<details class="inner"><summary>Where it comes from</summary>
    <dl class="facts">${Object.entries(facts).map(
      ([name, value]) => html`<dt key=${name}>${words(name)}</dt><dd><${Foreign} text=${typeof value === "object" ? JSON.stringify(value) : value} /></dd>`,
    )}</dl>
  </details>`;
}

const Candidates = ({ candidates }) =>
  candidates.length > 1 && html`<details class="inner"><summary>${candidates.length - 1} other ${candidates.length === 2 ? "candidate" : "candidates"}</summary>
    <ol class="plain">${candidates.slice(1).map((each) => html`<li key=${each.rank}><span class="value">${number(each.validation)}</span> <${Foreign} text=${each.text} /></li>`)}</ol>
  </details>`;

function Activity({ statistics, edges }) {
  const bins = (edges.length ? statistics.histogram : []).map((n, i) => ({ n, low: edges[i], high: edges[i + 1] }));
  const filled = bins.map((bin, i) => (bin.n ? i : -1)).filter((i) => i >= 0);
  const inner = filled.length ? bins.slice(filled[0], filled.at(-1) + 1) : [];
  return html`<section class="card" aria-label="Activity">
    <h2>Activity</h2>
    <dl class="figures">
      <div><dt>active in</dt><dd>${percent(density(statistics))}</dd></div>
      <div><dt>contexts</dt><dd>${count(statistics.n_active)} <span class="dim">of ${count(statistics.n_contexts)}</span></dd></div>
      <div><dt>largest</dt><dd>${number(statistics.maximum)}</dd></div>
      <div><dt>mean peak</dt><dd>${number(statistics.mean)}</dd></div>
      <div><dt>active above</dt><dd>${number(statistics.threshold)}</dd></div>
    </dl>
    ${inner.length > 0 && html`<${Chart} label=${`Histogram of peaks from ${activation(inner[0].low)} to ${activation(inner.at(-1).high)}; ${count(statistics.n_active)} active contexts`}
      deps=${[statistics]} draw=${(Plot) => ({
        height: 150, marginLeft: 40, inset: 0, x: { type: "log", label: "peak of a context", tickFormat: (x) => activation(x), ticks: 4 }, y: { label: "contexts", ticks: 3, grid: true, tickFormat: whole },
        marks: [
          Plot.rectY(inner, { x1: "low", x2: "high", y: "n", fill: "var(--heat-line)", inset: 0.5, tip: { format: { x: (x) => activation(x) } } }),
          Plot.ruleY([0]),
        ],
      })} />`}
  </section>`;
}

const TokenList = ({ tokens, title }) => html`<div><h3>${title}</h3>
  <ol class="outputs">${tokens.map(([token, value], i) => html`<li key=${i}><code><${Foreign} text=${token} /></code><span class="value">${number(value)}</span></li>`)}</ol></div>`;

const OutputTokens = ({ of }) => html`<section class="card" aria-label="Output tokens">
  <h2>What it writes <span class="dim" title="Excess kurtosis of the logits: large where the direction picks out few tokens">kurtosis ${number(of.kurtosis)}</span></h2>
  <div class="two"><${TokenList} tokens=${of.promoted.slice(0, 12)} title="promotes" /><${TokenList} tokens=${of.suppressed.slice(0, 12)} title="suppresses" /></div>
</section>`;

const Predicted = ({ of }) => html`<section class="card" aria-label="Encoding model">
  <h2>Encoding model</h2>
  <dl class="figures">
    <div><dt>held-out r</dt><dd>${number(of.r)}</dd></div>
    <div><dt>noise ceiling</dt><dd>${number(of.ceiling)}</dd></div>
    <div><dt>p</dt><dd>${chance(of.p_value)}</dd></div>
  </dl>
  <p>${of.rois.length ? of.rois.map((roi) => html`<span class="tag" key=${roi}><${Foreign} text=${roi} /></span> `) : html`<span class="dim">in no region that is named</span>`}</p>
</section>`;
