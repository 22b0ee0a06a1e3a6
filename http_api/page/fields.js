// The fields of a picture's settings: made from the one list, checked against the model's limits, with errors in plain
// words right under the field and what would be right as a button.
import { byId, element } from "./dom.js";
import { model } from "./models.js";
import { SETTINGS } from "./settings.js";

export const NUMBERS = SETTINGS.filter((setting) => !setting.control);
const MOST_SEED = 2n ** 63n - 1n;
const IDS = { negative_prompt: "negative", model_id: "model" }; // fields of a request whose control is called otherwise

export function makeFields() {
  byId("seed-field").before(...NUMBERS.map(({ name, label, step, hint }) => {
    const isWhole = Number.isInteger(step) || typeof step === "string";
    const input = element("input", { id: name, type: "text", inputMode: isWhole ? "numeric" : "decimal", autocomplete: "off" });
    input.setAttribute("aria-describedby", `${name}-error${hint ? ` ${name}-hint` : ""}`);
    return element("div", { className: "field" }, element("label", { htmlFor: name, textContent: label }), input,
      element("div", { id: `${name}-error`, className: "error", hidden: true }),
      hint ? element("p", { id: `${name}-hint`, className: "hint", textContent: hint }) : null);
  }));
}

export const controlOf = (field) => byId(IDS[field] ?? field.replace(/^settings\./, ""));
const labelOf = (name) => SETTINGS.find((setting) => setting.name === name)?.label ?? "Seed";

// The bounds of a setting: numbers, where the model says them.
function bounds({ min, max, step }) {
  const limits = model()?.limits ?? {};
  const bound = (it) => (typeof it === "string" ? limits[it] : it);
  return { min: bound(min) ?? -Infinity, max: bound(max) ?? Infinity, step: bound(step) ?? 1 };
}

// What is wrong in the bar: { name, text, remedies: [{ label, values }] }, or null.
export function problem() {
  for (const setting of NUMBERS) {
    const found = numberProblem(setting, byId(setting.name).value.trim());
    if (found) return found;
  }
  return sizeProblem() ?? seedProblem();
}

function numberProblem(setting, text) {
  const { name, label } = setting;
  const { min, max, step } = bounds(setting);
  const value = Number(text.replace(",", "."));
  const remedy = (number) => ({ label: String(number), values: { [name]: String(number) } });
  if (text === "" || Number.isNaN(value)) {
    const own = model()?.defaults?.[name];
    return { name, text: `${label} must be a number from ${min} to ${max}:`, remedies: own === undefined ? [] : [remedy(own)] };
  }
  const isOff = step >= 1 && value % step !== 0;
  if (!isOff && value >= min && value <= max) return null;
  const inside = Math.min(Math.max(value, min), max);
  const lower = Math.max(Math.floor(inside / step) * step, Math.ceil(min / step) * step);
  const upper = Math.min(Math.ceil(inside / step) * step, Math.floor(max / step) * step);
  const isOutside = value < min || value > max;
  const right = isOff && !isOutside && step > 1 ? `a multiple of ${step}` : isOff ? "a whole number" : "";
  const text_ = isOutside ? `${label} must be from ${min} to ${max}:` : `${label} must be ${right}:`;
  const numbers = isOutside ? [step >= 1 ? (value < min ? upper : lower) : inside] : [...new Set([lower, upper])];
  return { name, text: text_, remedies: numbers.map(remedy) };
}

function sizeProblem() {
  const { max_pixels: most, size_multiple: step = 1, min_side: least = 1 } = model()?.limits ?? {};
  const [width, height] = ["width", "height"].map((name) => Number(byId(name).value));
  if (!most || width * height <= most) return null;
  const scale = Math.sqrt(most / (width * height));
  const [w, h] = [width, height].map((side) => Math.max(Math.ceil(least / step) * step, Math.floor((side * scale) / step) * step));
  const remedies = w * h <= most ? [{ label: `${w} × ${h}`, values: { width: String(w), height: String(h) } }] : [];
  return { name: "width", text: "Width and height together are too large for this model:", remedies };
}

function seedProblem() {
  const text = byId("seed").value.trim();
  if (text === "" || (/^\d+$/.test(text) && BigInt(text) <= MOST_SEED)) return null;
  const digits = text.replace(/\D/g, "").slice(0, 18);
  const remedies = [...(digits ? [{ label: digits, values: { seed: digits } }] : []), { label: "random", values: { seed: "" } }];
  return { name: "seed", text: "The seed must be a whole number, or empty:", remedies };
}

// `onRemedy(values)` puts what would be right into the bar.
export function placeProblem({ name, text, remedies = [] }, onRemedy) {
  const control = controlOf(name);
  const place = (control && byId(`${control.id}-error`)) || byId("form-error");
  const buttons = remedies.map(({ label, values }) => {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => { clearProblems(); onRemedy(values); control.focus(); });
    return button;
  });
  place.replaceChildren(`${text} `, ...buttons);
  place.hidden = false;
  if (!control || place === byId("form-error")) return null;
  control.setAttribute("aria-invalid", "true");
  return control;
}

export function clearProblems() {
  for (const node of byId("form").querySelectorAll(".error")) { node.hidden = true; node.replaceChildren(); }
  for (const node of byId("form").querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
}

// The server's sentence about a field, in the words of this page.
export function inWords(message) {
  return message.replace(/settings\.(\w+)/g, (_, name) => labelOf(name)).replace(/^prompt\b/, "The prompt").replace(/^negative_prompt\b/, "What is left out");
}
