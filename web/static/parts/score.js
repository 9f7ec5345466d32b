// A score never stands alone: its floor is beside it, as number and as tick.

import { html } from "../vendor/preact.js";
import { above, chance, interval, number, words } from "../text.js";
import { Foreign } from "./bits.js";

/** Score with its interval and the floor's tick, from 0 to 1 (from -1 where a metric goes there). */
function ScoreBar({ score }) {
  const { score: at, floor } = score;
  if (at.value === null) return html`<span class="bar" aria-hidden="true"></span>`;
  const low = Math.min(at.low ?? 0, at.value, floor.value ?? 0) < 0 ? -1 : 0;
  const place = (value) => `${(100 * (Math.min(1, Math.max(low, value)) - low)) / (1 - low)}%`;
  const span = at.low === null ? null : { left: place(at.low), right: `calc(100% - ${place(at.high)})` };
  return html`<span class=${`bar ${above(score) ? "above" : ""}`} aria-hidden="true">
    ${span && html`<i class="span" style=${span}></i>`}
    ${floor.value !== null && html`<i class="floor" style=${{ left: place(floor.value) }}></i>`}
    <i class="dot" style=${{ left: place(at.value) }}></i>
  </span>`;
}

/** `0.61/0.50`, bold where the interval of their difference lies above zero. */
const BesideFloor = ({ score }) =>
  html`<span class="beside" title=${`${score.scorer}: ${words(score.metric)} ${interval(score.score)}, floor ${interval(score.floor)}`}
    ><span class=${above(score) ? "above" : ""}>${number(score.score.value)}</span
    ><span class="floor">/${number(score.floor.value)}</span></span
  >`;

/** A line a scorer, for lists. */
export const Scores = ({ scores, most = 3 }) =>
  html`<ul class="scores" aria-label="scores beside floors">
    ${scores.slice(0, most).map(
      (score) => html`<li key=${score.scorer}><span class="scorer">${score.scorer}</span><${BesideFloor} score=${score} /><${ScoreBar} score=${score} /></li>`,
    )}
  </ul>`;

const unanswered = (failures) =>
  Object.entries(failures).map(([kind, n]) => `${n} ${words(kind)}`).join(", ");

/** All that is known of scores, a row a scorer. */
export function ScoreTable({ scores }) {
  const failed = scores.some((score) => Object.keys(score.failures).length);
  const judges = [...new Set(scores.map((score) => score.judge))].filter(Boolean);
  return html`<div class="wide" tabindex="0" role="region" aria-label="Scores beside floors"><table>
    <thead><tr><th>scorer</th><th>score</th><th>floor</th><th><span class="hidden">drawn</span></th><th>above its floor</th><th>p</th><th>metric</th><th class="n">asked</th>${failed && html`<th>unanswered</th>`}</tr></thead>
    <tbody>${scores.map(
      (score) => html`<tr key=${score.scorer}>
        <th scope="row"><${Foreign} text=${score.scorer} /></th>
        <td class=${above(score) ? "above" : ""}>${interval(score.score)}</td>
        <td>${number(score.floor.value)}</td>
        <td><${ScoreBar} score=${score} /></td>
        <td>${interval(score.excess)}</td>
        <td>${chance(score.p_value)}</td>
        <td class="words">${words(score.metric)}</td>
        <td class="n">${score.n_questions}</td>
        ${failed && html`<td>${unanswered(score.failures) || "0"}</td>`}
      </tr>`,
    )}</tbody>
  </table></div>
  ${judges.length > 0 && html`<p class="dim note">Answered by <${Foreign} text=${judges.join(", ")} />.</p>`}`;
}

/** Recall by decile of the peaks, the lowest first, where the scorer has it: [[decile, recall]]. */
export const recalls = (score) =>
  Object.entries(score.metrics)
    .filter(([name]) => /^recall_decile_\d+$/.test(name))
    .map(([name, value]) => [Number(name.slice("recall_decile_".length)), value])
    .sort(([a], [b]) => a - b);
