// Numbers and foreign text as people read them; the same rules as on the command line.

// Control characters do things instead of showing; the last ones turn the direction of a line.
const CONTROLS = /\r\n|[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const SIGNS = { "\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\t": " ", "\u007f": "␡", "\u2028": "⏎", "\u2029": "⏎" };

const sign = (control) =>
  SIGNS[control] ?? (control < "\u0020" ? String.fromCharCode(0x2400 + control.charCodeAt(0)) : "\ufffd");

/** The text on one line, each control character as one sign. */
export const visible = (text) => String(text ?? "").replace(CONTROLS, sign);

/** The same, line by line: line breaks stay. */
export const visibleLines = (text) =>
  String(text ?? "").split(/\r\n|\r|\n/).map(visible).join("\n");

const defined = (value) => typeof value === "number" && Number.isFinite(value);

/** Two digits; an en dash where it is undefined. */
export const number = (value) => (defined(value) ? value.toFixed(2) : "–");

/** A p-value: three digits, `<0.001` below; an en dash where it is undefined. */
export const chance = (p) => (!defined(p) ? "–" : p < 0.001 ? "<0.001" : p.toFixed(3));

/** `0.61 [0.52, 0.70]`; without limits where those are undefined. */
export const interval = (of) =>
  number(of?.value) + (defined(of?.low) ? ` [${number(of.low)}, ${number(of.high)}]` : "");

/** An activation: three significant digits. */
export const activation = (value) => (defined(value) ? String(Number(value.toPrecision(3))) : "–");

/** A share of one, in percent. */
export const percent = (share) =>
  !defined(share) ? "–" : `${(100 * share).toFixed(share && share < 0.0995 ? (share < 0.001 ? 3 : 1) : 0)} %`;

export const count = (n) => (defined(n) ? n.toLocaleString("en-US") : "–");

/** `too_little_evidence` as words. */
export const words = (name) => String(name ?? "").replaceAll("_", " ");

/** What an id says: subject/hookpoint/dictionary/index. A subject may itself hold slashes. */
export function parts(unit) {
  const all = unit.split("/");
  const [hookpoint, dictionary, index] = all.slice(-3);
  return { subject: all.slice(0, -3).join("/"), hookpoint, dictionary, index };
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Whether the interval of score minus floor lies above zero. */
export const above = (score) => defined(score.excess?.low) && score.excess.low > 0;
