// A context: its text with shaded tokens, or its image with the active cells.

import { html, useRef, useState } from "../vendor/preact.js";
import { imageOf } from "../api.js";
import { activation, number, visible } from "../text.js";

const FRACTION = 0.3; // of the peak: what counts as active within a context

// A stimulus is responded to as a whole: shading all of it would say nothing.
const share = (example, i) =>
  example.peak > 0 && example.activations.length > 1 ? Math.max(0, example.activations[i] / example.peak) : 0;

const shade = (value) =>
  value > 0.02 ? { backgroundColor: `rgba(var(--heat), ${(0.12 + 0.78 * Math.min(1, value)).toFixed(2)})` } : undefined;

const peakAt = (example) =>
  example.activations.reduce((best, value, i, all) => (value > all[best] ? i : best), 0);

/** One line around the strongest token, for lists. */
export function Strip({ example }) {
  if (!example) return null;
  if (example.image) return html`<${Picture} example=${example} small />`;
  const at = example.activations.length ? peakAt(example) : 0;
  const first = example.tokens.length > 14 ? Math.max(0, at - 8) : 0;
  return html`<bdi dir="auto" class="strip">${first > 0 ? "…" : ""}${example.tokens
    .slice(first)
    .map((token, i) => html`<span key=${i} style=${shade(share(example, first + i))}>${visible(token)}</span>`)}</bdi>`;
}

/** The whole text; the exact value of a token shows on hover, or by the arrow keys once it has the focus. */
export function Tokens({ example, marks }) {
  const [at, setAt] = useState(null);
  const [keyed, setKeyed] = useState(false);
  const active = example.activations.length > 0;
  const marked = new Set(marks ?? []);
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") return setAt(null);
    if (!step || at === null) return;
    event.preventDefault();
    setAt(Math.min(example.tokens.length - 1, Math.max(0, at + step)));
  };
  const over = (event) => {
    const found = event.target.closest("[data-t]");
    setKeyed(false);
    setAt(found ? Number(found.dataset.t) : null);
  };
  const reading = active
    ? {
        tabindex: 0, role: "group", "aria-label": "Context; the arrow keys read its activations",
        onKeyDown: move,
        onFocus: () => { setKeyed(true); setAt(peakAt(example)); },
        onBlur: () => setAt(null), onMouseOver: over, onMouseLeave: () => setAt(null),
      }
    : {};
  return html`<div class="tokens" ...${reading}>
    <bdi dir="auto">${example.tokens.map(
      (token, i) => html`<span key=${i} data-t=${i}
        class=${`${marked.has(i) ? "marked" : ""} ${i === at ? "at" : ""}`}
        style=${active ? shade(share(example, i)) : undefined}>${visible(token)}${i === at && html`<span class="tip" aria-hidden="true">${activation(example.activations[i])}</span>`}</span>`,
    )}</bdi>
    ${active && html`<span class="hidden" aria-live="polite">${keyed && at !== null ? `${visible(example.tokens[at])}: ${activation(example.activations[at])}` : ""}</span>`}
  </div>`;
}

/** Edges between cells inside and outside, as an SVG path in cells. */
function outline(inside, [rows, columns]) {
  const is = (r, c) => r >= 0 && c >= 0 && r < rows && c < columns && inside[r * columns + c];
  let path = "";
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      if (!is(r, c)) continue;
      if (!is(r - 1, c)) path += `M${c} ${r}h1`;
      if (!is(r + 1, c)) path += `M${c} ${r + 1}h1`;
      if (!is(r, c - 1)) path += `M${c} ${r}v1`;
      if (!is(r, c + 1)) path += `M${c + 1} ${r}v1`;
    }
  return path;
}

const dimmed = (inside, columns) =>
  inside.map((is, i) => (is ? "" : `M${i % columns} ${Math.floor(i / columns)}h1v1h-1z`)).join("");

/** An image; what lies outside the active (or marked) cells is dimmed, unless it is shown `whole`, and outlined. */
function Picture({ example, marks, small = false, whole = false }) {
  const [at, setAt] = useState(null);
  const frame = useRef();
  const { grid, activations = [], peak } = example;
  const cells = grid && grid[0] * grid[1] > 1 ? grid : null;
  const shown = new Set(marks ?? activations.flatMap((value, i) => (value > 0 && value >= FRACTION * peak ? [i] : [])));
  const inside = cells && Array.from({ length: cells[0] * cells[1] }, (_, i) => shown.has(i));
  const masked = cells && shown.size > 0 && shown.size < inside.length;
  const caption = (example.tokens ?? []).join("");
  const over = (event) => {
    if (!cells || !activations.length) return;
    const box = frame.current.getBoundingClientRect();
    const c = Math.floor(((event.clientX - box.left) / box.width) * cells[1]);
    const r = Math.floor(((event.clientY - box.top) / box.height) * cells[0]);
    setAt(r >= 0 && c >= 0 && r < cells[0] && c < cells[1] ? r * cells[1] + c : null);
  };
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cells?.[1], ArrowUp: -cells?.[1] }[event.key];
    if (!step || at === null) return;
    event.preventDefault();
    setAt(Math.min(activations.length - 1, Math.max(0, at + step)));
  };
  const image = html`<span class="frame" ref=${frame}>
    <img loading="lazy" src=${imageOf(example.image)} alt=${caption ? visible(caption) : `Image ${example.context ?? ""}`} />
    ${masked && !whole && html`<svg viewBox=${`0 0 ${cells[1]} ${cells[0]}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="dimmed" d=${dimmed(inside, cells[1])} /><path class="outline" d=${outline(inside, cells)} />
    </svg>`}
  </span>`;
  if (small) return html`<span class="picture small">${image}</span>`;
  const reading = cells && activations.length
    ? { tabindex: 0, role: "group", "aria-label": "Image; the arrow keys read its cells", onKeyDown: move,
        onFocus: () => setAt(peakAt(example)), onBlur: () => setAt(null) }
    : {};
  return html`<figure class="picture" onMouseMove=${over} onMouseLeave=${() => setAt(null)} ...${reading}>
    ${image}
    <figcaption>
      ${caption && html`<bdi dir="auto">${visible(caption)}</bdi>`}
      <span class="dim" aria-live="polite">${at !== null ? ` row ${Math.floor(at / cells[1]) + 1}, column ${(at % cells[1]) + 1}: ${activation(activations[at])}` : ""}</span>
    </figcaption>
  </figure>`;
}

/** A context as it is: an image where there is one, else text. */
export const Shown = (props) => (props.example.image ? html`<${Picture} ...${props} />` : html`<${Tokens} ...${props} />`);

/** Contexts below one another, each with its peak beside the largest that was seen. */
export function Examples({ examples, maximum, whole }) {
  const images = examples.some((example) => example.image);
  return html`<ol class=${images ? "examples images" : "examples"}>
    ${examples.map(
      (example) => html`<li key=${example.context}>
        ${example.activations.length > 0 && html`<span class="peak"><span class="value">${number(example.peak)}</span><span class="share" aria-hidden="true"><span style=${{ width: `${Math.min(100, (100 * example.peak) / (maximum || example.peak || 1))}%` }}></span></span></span>`}
        <${Shown} example=${example} whole=${whole} />
      </li>`,
    )}
  </ol>`;
}
