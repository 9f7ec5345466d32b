// What a comparison came to: each kind of evidence beside its floor, pairs, and units that are like none.

import { html, useState } from "../vendor/preact.js";
import { Choice, Foreign } from "../parts/bits.js";
import { Chart } from "../parts/chart.js";
import { UnitName } from "../parts/hit.js";
import { VirtualList, listOf, useRowHeight } from "../parts/list.js";
import { go, unitLink } from "../router.js";
import { count, number, percent, visible } from "../text.js";

export function Comparison({ of, runs }) {
  return html`<div class="tiles">
      ${["A", "B"].map((side, i) => html`<div class="tile" key=${side}>
        <span class="big">${percent(of.units[i] ? of.matched[i] / of.units[i] : null)}</span>
        <span>of ${side} matched</span><span class="dim">${count(of.matched[i])} of ${count(of.units[i])} units of <${Foreign} text=${runs[i]} /></span>
      </div>`)}
      <div class="tile"><span class="big">${count(of.pairs.filter((pair) => pair.matched).length)}</span><span>matched pairs</span><span class="dim">${of.match}, ranked by ${of.ranked_by}${of.limit !== null ? `, above ${number(of.limit)}` : ""}</span></div>
    </div>
    <${Levels} of=${of} />
    <div class="columns even"><${Scatter} pairs=${of.pairs} runs=${runs} />${of.heat && html`<${HeatMap} heat=${of.heat} />`}</div>
    <${Lists} of=${of} runs=${runs} />`;
}

const Levels = ({ of }) => html`<section class="card" aria-label="Evidence beside its floor"><h2>Evidence beside its floor</h2>
  <div class="wide" tabindex="0" role="region" aria-label="Evidence"><table>
    <thead><tr><th>kind</th><th class="n">pairs</th><th class="n">mean</th><th class="n">floor</th><th class="n">match above</th><th class="n">of A</th><th class="n">of B</th><th>the floor is</th></tr></thead>
    <tbody>${of.levels.map((level) => html`<tr key=${level.kind}><th scope="row">${level.kind}</th><td class="n">${count(level.pairs)}</td><td class="n"><b>${number(level.mean)}</b></td><td class="n">${number(level.floor)}</td><td class="n">${number(level.limit)}</td><td class="n">${percent(level.share_a)}</td><td class="n">${percent(level.share_b)}</td><td class="dim">${level.floor_is}</td></tr>`)}</tbody>
  </table></div>
  ${Object.entries(of.missing).map(([kind, why]) => html`<p class="dim" key=${kind}>${kind}: <${Foreign} text=${why} /></p>`)}
</section>`;

/** Text against co-activation, or against whatever second kind there is. */
function Scatter({ pairs, runs }) {
  const kinds = Object.keys(pairs.find((pair) => Object.keys(pair.values).length > 1)?.values ?? {});
  const x = kinds.includes("text") ? "text" : kinds[0];
  const y = kinds.includes("coactivation") ? "coactivation" : kinds.find((kind) => kind !== x);
  const points = y ? pairs.filter((pair) => pair.values[x] != null && pair.values[y] != null).map((pair) => ({ x: pair.values[x], y: pair.values[y], matched: pair.matched ? "matched" : "unmatched", pair })) : [];
  if (!points.length) return html`<section class="card"><h2>Two kinds of evidence</h2><p class="dim">A scatter needs two kinds of evidence that pairs have both.</p></section>`;
  return html`<section class="card" aria-label="Scatter"><h2>${x} against ${y}</h2>
    <${Chart} label=${`Scatter of ${points.length} pairs: ${x} against ${y}. The list below has the same pairs.`} deps=${[points]} onPick=${(point) => go(unitLink(runs[0], point.pair.a.unit))}
      draw=${(Plot) => ({ height: 320, grid: true, marginLeft: 46, x: { label: `${x} →` }, y: { label: `↑ ${y}` },
        color: { domain: ["matched", "unmatched"], range: ["var(--series-1)", "var(--dim-mark)"], legend: true },
        marks: [Plot.dot(points, { x: "x", y: "y", stroke: "matched", r: 3, strokeOpacity: 0.8, tip: true, channels: { A: (d) => visible(d.pair.a.text ?? d.pair.a.unit).slice(0, 60), B: (d) => visible(d.pair.b.text ?? d.pair.b.unit).slice(0, 60) } })] })} />
    <p class="dim">A dot is a pair; a click opens its unit of A.</p></section>`;
}

function HeatMap({ heat }) {
  const cells = heat.rows.flatMap((row, i) => heat.columns.map((column, j) => ({ row, column, mean: heat.means[i][j], floor: heat.floors[i][j] })));
  const defined = cells.filter((cell) => cell.mean !== null);
  const means = defined.map((cell) => cell.mean);
  const dark = 0.3 * Math.min(...means) + 0.7 * Math.max(...means);
  const [rows, columns] = [shortNames(heat.rows), shortNames(heat.columns)];
  return html`<section class="card" aria-label="Place by place"><h2>Place by place <span class="dim">by ${heat.kind}: mean over units of A of the nearest of B</span></h2>
    <${Chart} label=${`Heat map of ${heat.rows.length} by ${heat.columns.length} places: ${defined.map((cell) => `${cell.row} and ${cell.column} ${number(cell.mean)}`).join("; ").slice(0, 1500)}`} deps=${[heat]}
      draw=${(Plot) => ({ height: Math.max(200, 100 + 44 * heat.rows.length), marginLeft: 150, marginBottom: 80, inset: 0, padding: 0.04,
        x: { domain: heat.columns, label: "B", tickRotate: -25, tickSize: 0, tickFormat: (name) => columns.get(name) }, y: { domain: heat.rows, label: "A", tickSize: 0, tickFormat: (name) => rows.get(name) },
        color: { scheme: "oranges" },
        marks: [
          Plot.cell(cells, { x: "column", y: "row", fill: "mean", rx: 4, tip: true, channels: { floor: (d) => number(d.floor) } }),
          Plot.text(cells, { x: "column", y: "row", text: (d) => number(d.mean), fill: (d) => (d.mean > dark ? "#fff" : "#111"), fontSize: 13 }),
        ] })} />
  </section>`;
}

/** By place its layer and dictionary, where that tells places apart; else the end of its name. */
function shortNames(names) {
  const by = names.map((name) => [name, name.replace(/^(?:.*\.)?(\d+)(?:\..*)?\/([^/]*)$/, "layer $1 · $2")]);
  const apart = new Set(by.map(([, short]) => short)).size === names.length;
  return new Map(by.map(([name, short]) => [name, visible(apart ? short : name).slice(-26)]));
}

function Lists({ of, runs }) {
  const [which, setWhich] = useState("matched");
  const height = useRowHeight(92, 190);
  const pairs = of.pairs.filter((pair) => pair.matched === (which === "matched"));
  const lone = which === "a" || which === "b" ? of.distinctive[which === "a" ? 0 : 1] : null;
  const items = lone ?? pairs;
  return html`<section class="card" aria-label="Lists">
    <${Choice} label="What is listed" value=${which} onChange=${setWhich} options=${[["matched", "matched pairs"], ["rest", "unmatched pairs"], ["a", "only in A"], ["b", "only in B"]]} />
    ${items.length === 0 && html`<p class="dim">None.</p>`}
    <${VirtualList} key=${which} list=${listOf(items)} height=${height} label=${which}>
      ${lone ? (unit) => html`<${Lone} unit=${unit} run=${runs[which === "a" ? 0 : 1]} />` : (pair) => html`<${Pair} pair=${pair} runs=${runs} />`}
    <//>
  </section>`;
}

const Side = ({ run, of }) => html`<div class="side"><a href=${unitLink(run, of.unit)} class="says"><${Foreign} text=${of.text ?? "not explained"} /></a><p class="meta"><${UnitName} unit=${of.unit} /></p></div>`;

const Pair = ({ pair, runs }) => html`<article class="row pair">
  <${Side} run=${runs[0]} of=${pair.a} />
  <dl class="values">${Object.entries(pair.values).map(([kind, value]) => html`<div key=${kind}><dt>${kind}</dt><dd>${number(value)}</dd></div>`)}</dl>
  <${Side} run=${runs[1]} of=${pair.b} />
</article>`;

const Lone = ({ unit, run }) => html`<article class="row pair"><${Side} run=${run} of=${unit} /><dl class="values"><div><dt>nearest</dt><dd>${number(unit.similarity)}</dd></div></dl></article>`;
