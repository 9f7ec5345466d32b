// Charts by Observable Plot, which is loaded once a view draws.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const STYLE = { background: "transparent", color: "inherit", fontFamily: "inherit", fontSize: "12px", overflow: "visible" };

/** Ticks of an axis of counts. */
export const whole = (n) => (Number.isInteger(n) ? n.toLocaleString("en-US") : "");

/** `draw(Plot, width)` makes options of Plot.plot; `label` says in words what is to be seen. */
export function Chart({ draw, label, deps = [], onPick }) {
  const box = useRef();
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (!width) return undefined;
    let gone = false;
    import("../vendor/plot.js").then((Plot) => {
      if (gone || !box.current) return;
      const figure = Plot.plot({ width, style: STYLE, marginBottom: 42, inset: 5, ...draw(Plot, width) });
      // The box says in words what is to be seen; Plot names shapes as no screen reader should.
      figure.setAttribute("aria-hidden", "true");
      if (onPick) figure.addEventListener("click", () => figure.value && onPick(figure.value));
      box.current.replaceChildren(figure);
    }).catch(() => box.current?.replaceChildren("This chart could not be drawn."));
    return () => {
      gone = true;
    };
  }, [width, ...deps]);
  return html`<div class=${`chart ${onPick ? "picked" : ""}`} ref=${box} role="img" aria-label=${label}></div>`;
}
