// A run, where it stands, live.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { segment } from "../api.js";
import { site } from "../site.js";
import { useEvents, useGet, useTitle } from "../hooks.js";
import { Answered, Foreign, Later, State } from "../parts/bits.js";
import { Chart, whole } from "../parts/chart.js";
import { Says, UnitName } from "../parts/hit.js";
import { Jobs } from "../parts/job.js";
import { VirtualList, usePages } from "../parts/list.js";
import { States, collected } from "../parts/states.js";
import { go, link, unitLink } from "../router.js";
import { chance, count, interval, number, plural, visible, words } from "../text.js";
import { Ask } from "./run-ask.js";

export function Run({ run }) {
  useTitle(run);
  const base = `runs/${segment(run)}`;
  const answer = useGet(base);
  const live = useEvents(answer.data ? `${base}/events` : null, "run");
  const newest = live?.name === run ? live : answer.data;
  return html`<main class="run-page"><${Answered} of=${{ ...answer, data: newest }} what="Loading the run">${(of) => html`<${Page} key=${run} of=${of} base=${base} live=${Boolean(live)} />`}<//></main>`;
}

function Page({ of, base, live }) {
  const [id, setId] = useState(null);
  const [begun, setBegun] = useState(null);
  const method = of.methods.find((each) => each.id === id) ?? of.methods[0];
  return html`<header class="heading">
      <h1><${Foreign} text=${of.name} /></h1>
      <p class="dim"><${Foreign} text=${of.subject} /> · ${collected(of)}</p>
      <p class="tools"><a class="button" href=${link("", [], { run: of.name })}>Browse its units</a>
        ${live && html`<span class="live" role="status">live</span>`}
        ${of.live && html`<span class="tag">subject loaded on demand</span>`}
        ${of.methods.length > 1 && html`<label class="inline">method <select value=${method.id} onChange=${(event) => setId(event.target.value)}>${of.methods.map((each) => html`<option value=${each.id}>${visible(`${each.explainer} · ${each.id.slice(0, 12)}`)}</option>`)}</select></label>`}</p>
    </header>
    <div class="columns even">
      <section class="card" aria-label="Units by state"><h2>Units by state</h2>
        ${method ? html`<${States} states=${method.states} /><${Usage} usage=${method.usage} />` : html`<p class="dim">Nothing is labelled yet.</p>`}
        <${Places} sites=${of.sites} />
      </section>
      ${site === null && html`<section class="card" aria-label="Jobs"><h2>Ask for more</h2><${Ask} base=${base} measure=${of.measure} onBegun=${setBegun} /><${Jobs} run=${of.name} newest=${begun} /></section>`}
    </div>
    ${method && html`<${Numbers} key=${method.id} base=${base} run=${of.name} method=${method} />`}
    ${method && site === null && html`<${Later} title="Units without an explanation" id="failed">${() => html`<${Failed} base=${base} run=${of.name} method=${method.id} />`}<//>`}`;
}

/** What models were asked, by stage; money where it is known. */
function Usage({ usage }) {
  const stages = Object.entries(usage);
  const columns = [...new Set(stages.flatMap(([, figures]) => Object.keys(figures).filter((name) => figures[name])))];
  if (!columns.length) return html`<p class="dim">No request was made of a model server: nothing was spent.</p>`;
  return html`<h3>Cost</h3><div class="wide" tabindex="0" role="region" aria-label="Cost by stage"><table>
    <thead><tr><th>stage</th>${columns.map((name) => html`<th class="n" key=${name}>${words(name)}</th>`)}</tr></thead>
    <tbody>${stages.map(([stage, figures]) => html`<tr key=${stage}><th scope="row">${words(stage)}</th>${columns.map((name) => html`<td class="n" key=${name}>${count(figures[name])}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

const Places = ({ sites }) => html`<details class="inner"><summary>${plural(sites.length, "place")}</summary>
  <ul class="plain">${sites.map((each) => html`<li><${Foreign} text=${each.hookpoint} /> / <${Foreign} text=${each.dictionary} /> <span class="dim">${plural(each.units, "unit")}</span></li>`)}</ul></details>`;

function Numbers({ base, run, method }) {
  const answer = useGet(`${base}/numbers`, { method: method.id });
  useAgain(answer, JSON.stringify(method.states));
  const [scorer, setScorer] = useState(null);
  return html`<${Answered} of=${answer} what="Adding up the scores">${(of) => {
    if (!of.scorers.length) return html`<section class="card"><h2>Scores beside floors</h2><p class="dim">Nothing is scored yet.</p></section>`;
    const chosen = of.scorers.find((each) => each.scorer === scorer) ?? of.scorers.find((each) => each.scorer === "detection") ?? of.scorers[0];
    return html`<section class="card" aria-label="Scores beside floors"><h2>Scores beside floors <span class="dim">means over units, 95 % intervals</span></h2>
        <${Summaries} scorers=${of.scorers} /></section>
      ${of.scorers.length > 1 && html`<div class="choice" role="group" aria-label="Scorer">${of.scorers.map((each) => html`<button type="button" aria-pressed=${each === chosen} onClick=${() => setScorer(each.scorer)}>${each.scorer}</button>`)}</div>`}
      <div class="columns even">
        <${Distribution} points=${of.points} chosen=${chosen} />
        <${Beside} points=${of.points} chosen=${chosen} run=${run} />
        <${Recalls} recalls=${of.recalls} />
      </div>`;
  }}<//>`;
}

/** Asks again when `value` has changed, every five seconds at most, and seldomer where answers take long. */
function useAgain({ again, loading, took, at }, value) {
  const asked = useRef(value);
  useEffect(() => {
    if (loading || value === asked.current) return;
    const wait = Math.max(5000, 20 * took);
    const timer = setTimeout(() => { asked.current = value; again(); }, Math.max(0, at + wait - performance.now()));
    return () => clearTimeout(timer);
  }, [value, loading]);
}

const Summaries = ({ scorers }) => html`<div class="wide" tabindex="0" role="region" aria-label="Summary by scorer"><table>
  <thead><tr><th>scorer</th><th>score</th><th>floor</th><th>above its floor</th><th>p</th><th class="n">units</th><th>metric</th></tr></thead>
  <tbody>${scorers.map((each) => html`<tr key=${`${each.scorer} ${each.metric}`}><th scope="row"><${Foreign} text=${each.scorer} /></th><td>${interval(each.score.mean)}</td><td>${interval(each.floor.mean)}</td><td class=${each.excess.mean.low > 0 ? "above" : ""}>${interval(each.excess.mean)}</td><td>${chance(each.p_value)}</td><td class="n">${count(each.score.n)}</td><td>${words(each.metric)}</td></tr>`)}</tbody>
</table></div>`;

const scored = (points, scorer) => points.filter((point) => point.scorer === scorer && point.score !== null);

/** Histograms of scores and of floors over one another. */
function Distribution({ points, chosen }) {
  const of = scored(points, chosen.scorer);
  const values = of.flatMap((point) => [{ value: point.score, is: "score" }, ...(point.floor === null ? [] : [{ value: point.floor, is: "floor" }])]);
  const low = Math.min(0, ...values.map((each) => each.value)) < 0 ? -1 : 0;
  const step = (1 - low) / 25;
  const bins = ["floor", "score"].flatMap((is) =>
    Array.from({ length: 25 }, (_, i) => ({ is, x1: low + i * step, x2: low + (i + 1) * step,
      n: values.filter((each) => each.is === is && Math.min(24, Math.floor((each.value - low) / step)) === i).length })).filter((bin) => bin.n));
  return html`<section class="card" aria-label="Distribution"><h2>${chosen.scorer}: scores and floors</h2>
    <${Chart} label=${`Histogram over ${of.length} units: mean score ${number(chosen.score.mean.value)}, mean floor ${number(chosen.floor.mean.value)}`} deps=${[points, chosen]}
      draw=${(Plot) => ({ height: 240, marginLeft: 44, x: { domain: [low, 1], label: words(chosen.metric) }, inset: 0, y: { grid: true, label: "units", tickFormat: whole },
        color: { domain: ["score", "floor"], range: ["var(--series-1)", "var(--dim-mark)"], legend: true },
        marks: [Plot.rectY(bins, { x1: "x1", x2: "x2", y2: "n", y1: 0, fill: "is", fillOpacity: 0.55, inset: 0.5 }), Plot.ruleY([0])] })} />
  </section>`;
}

/** Each unit's score against its floor. */
function Beside({ points, chosen, run }) {
  const of = scored(points, chosen.scorer).filter((point) => point.floor !== null);
  const better = of.filter((point) => point.score > point.floor).length;
  return html`<section class="card" aria-label="Each unit"><h2>${chosen.scorer}: each unit <span class="dim">above the line: better than its floor</span></h2>
    <${Chart} label=${`Scatter of ${of.length} units: ${better} score above their floor`} deps=${[points, chosen]} onPick=${(point) => go(unitLink(run, point.unit))}
      draw=${(Plot) => ({ height: 280, grid: true, marginLeft: 44, x: { label: "floor →" }, y: { label: "↑ score" },
        marks: [Plot.line([[0, 0], [1, 1]], { stroke: "currentColor", strokeOpacity: 0.4, strokeDasharray: "4 3", clip: true }),
          Plot.dot(of, { x: "floor", y: "score", r: 3, fill: "var(--series-1)", fillOpacity: 0.55, tip: true, channels: { unit: (d) => visible(d.unit).split("/").slice(-3).join("/") } })] })} />
    <p class="dim">A click opens the unit.</p>
  </section>`;
}

function Recalls({ recalls }) {
  const lines = Object.entries(recalls).flatMap(([scorer, of]) => of.map((recall, i) => ({ scorer, decile: i + 1, recall })));
  if (!lines.length) return null;
  const scorers = Object.keys(recalls);
  return html`<section class="card" aria-label="Recall by decile"><h2>Recall by strength <span class="dim">mean over units, weakest decile first</span></h2>
    <${Chart} label=${lines.map((line) => `${line.scorer} ${line.decile}: ${number(line.recall)}`).join("; ")} deps=${[recalls]}
      draw=${(Plot) => ({ height: 240, marginLeft: 44, grid: true, x: { label: "decile of the peak", ticks: 10, tickFormat: (x) => String(x) }, y: { domain: [0, 1], label: "recall" },
        color: { domain: scorers, range: ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"], legend: scorers.length > 1 },
        marks: [Plot.line(lines, { x: "decile", y: "recall", stroke: "scorer", strokeWidth: 2 }), Plot.dot(lines, { x: "decile", y: "recall", fill: "scorer", r: 3, tip: true })] })} />
  </section>`;
}

function Failed({ base, run, method }) {
  const list = usePages(`${base}/failed`, { method });
  if (list.loading) return html`<p class="dim">Loading…</p>`;
  if (!list.total) return html`<p class="dim">Every unit has one.</p>`;
  return html`<p class="dim">${plural(list.total, "unit")}</p><${VirtualList} list=${list} height=${64} label="Units without an explanation">
    ${(label) => html`<article class="row slim"><a class="says" href=${unitLink(run, label.unit)}><${UnitName} unit=${label.unit} /></a>
      <p class="meta"><${State} state=${label.state} /> <${Says} label=${label} /></p></article>`}
  <//>`;
}
