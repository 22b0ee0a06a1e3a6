// The form: model defaults and limits, enrichment, submission, errors at the field that they concern.
import * as api from "./api.js";
import { announce, byId, element, seconds, show } from "./dom.js";
import { SETTINGS } from "./settings.js";

const STYLES = ["cyberpunk", "anime", "realistic", "fantasy", "sci-fi", "enhance"];
const EXAMPLES = ["a red house and a green tree at sunset", "a white boat on the sea at night", "a castle on a hill"];
const NUMBERS = SETTINGS.map((setting) => setting.name);
const ERROR_PLACES = { prompt: "prompt", negative_prompt: "negative", model_id: "model" };
let catalog = { models: {}, default: "" };
let isSending = false;
let ownWords = ""; // as they were before the enriched ones took their place
let carried = {}; // settings of a picture that have no field here, but are needed to make it again

export function startComposer(onSubmitted) {
  byId("settings-grid").prepend(...SETTINGS.map(settingField));
  byId("style").append(...STYLES.map((style) => element("option", { value: style, textContent: style })));
  byId("examples").append(...EXAMPLES.map(example));
  byId("model").addEventListener("change", () => useModel(byId("model").value));
  byId("prompt").addEventListener("input", count);
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
  });
  byId("settings").addEventListener("input", summarise);
  byId("reset").addEventListener("click", () => useModel(byId("model").value));
  byId("dice").addEventListener("click", () => { byId("seed").value = crypto.getRandomValues(new Uint32Array(1))[0]; summarise(); });
  byId("enrich").addEventListener("click", propose);
  byId("proposal-use").addEventListener("click", useProposal);
  byId("proposal-drop").addEventListener("click", () => { byId("proposal").hidden = true; byId("prompt").focus(); });
  byId("enrich-undo").addEventListener("click", undoEnrich);
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); submit(onSubmitted); });
}

function settingField({ name, label, step }) {
  const inputMode = Number.isInteger(step) || typeof step === "string" ? "numeric" : "decimal";
  return element("div", { className: "field" },
    element("label", { htmlFor: name, textContent: label }), element("input", { id: name, type: "number", inputMode }));
}

function example(words) {
  const button = element("button", { type: "button", className: "secondary", textContent: words });
  button.addEventListener("click", () => { byId("prompt").value = words; count(); byId("submit").focus(); });
  return button;
}

export async function loadModels() {
  catalog = await api.models();
  listModels();
  byId("submit").disabled = false;
  return catalog;
}

function listModels() {
  const options = Object.entries(catalog.models).map(([key, entry]) => element("option", {
    value: key, disabled: entry.available === false, textContent: entry.available === false ? `${key} (not installed)` : key,
  }));
  byId("model").replaceChildren(...options);
  useModel(catalog.default);
}

function useModel(key) {
  const entry = catalog.models[key];
  if (!entry) return;
  byId("model").value = key;
  carried = {};
  byId("model-note").textContent = entry.description;
  const { defaults = {}, limits = {}, capabilities = {} } = entry;
  for (const name of NUMBERS) byId(name).value = defaults[name] ?? "";
  byId("seed").value = "";
  const bound = (it) => typeof it === "string" ? limits[it] ?? "" : it;
  for (const { name, min, max, step } of SETTINGS) {
    Object.assign(byId(name), { min: bound(min), max: bound(max), step: bound(step) });
  }
  show(byId("limits"), limits.max_side && `Sides: multiples of ${limits.size_multiple} from ${limits.min_side} to ${limits.max_side}.`);
  const ignores = capabilities.negative_prompt === false;
  byId("negative").disabled = ignores;
  show(byId("negative-note"), ignores && `${key} ignores what should be left out.`);
  summarise();
  count();
}

function summarise() {
  const seed = byId("seed").value ? `, seed ${byId("seed").value}` : "";
  byId("settings-summary").textContent =
    `${byId("num_images").value} × ${byId("width").value}×${byId("height").value}, ${byId("num_inference_steps").value} steps${seed}`;
}

function count() {
  const length = [...byId("prompt").value].length;
  byId("prompt-counter").textContent = length ? `${length} characters` : "";
}

async function propose() {
  clearErrors();
  const button = byId("enrich");
  button.disabled = true;
  try {
    const answer = await api.enrich(byId("prompt").value, byId("style").value);
    byId("proposal-text").textContent = answer.enriched_prompt;
    byId("proposal-source").textContent = answer.source === "openai" ? "(by the language model)" : "";
    show(byId("proposal-warning"), (answer.warnings || []).join(" "));
    byId("proposal").hidden = false;
    announce("A proposed prompt is shown below the prompt.");
  } catch (error) {
    placeError(error);
  } finally {
    button.disabled = false;
  }
}

function useProposal() {
  ownWords = byId("prompt").value;
  byId("enrich-undo").hidden = false;
  byId("prompt").value = byId("proposal-text").textContent;
  byId("proposal").hidden = true;
  count();
  byId("prompt").focus();
}

function undoEnrich() {
  byId("prompt").value = ownWords;
  byId("enrich-undo").hidden = true;
  count();
  byId("prompt").focus();
}

function request() {
  const settings = { ...carried };
  for (const name of NUMBERS) if (byId(name).value !== "") settings[name] = Number(byId(name).value);
  const seed = byId("seed").value.trim();
  const body = { model_id: byId("model").value, prompt: byId("prompt").value, settings };
  if (byId("negative").value.trim() && !byId("negative").disabled) body.negative_prompt = byId("negative").value;
  return { body, seed };
}

async function submit(onSubmitted) {
  if (isSending || !catalog.default) return;
  clearErrors();
  const { body, seed } = request();
  if (seed && !/^-?\d+$/.test(seed)) return placeError(new api.ApiError("Seed must be an integer, or empty.", 400, { field: "settings.seed" }));
  if (seed) body.settings.seed = String(BigInt(seed));
  isSending = true;
  byId("submit").disabled = true;
  try {
    const answer = await api.generate(body);
    announce(["Your job is in the queue.", ...(answer.warnings || [])].join(" "));
    onSubmitted(answer);
  } catch (error) {
    placeError(error);
  } finally {
    isSending = false;
    byId("submit").disabled = false;
  }
}

function placeError(error) {
  const name = error.field || "";
  const control = byId(ERROR_PLACES[name] || name.replace("settings.", ""));
  const place = ERROR_PLACES[name] ? byId(`${ERROR_PLACES[name]}-error`) : name.startsWith("settings") ? byId("settings-error") : byId("form-error");
  if (name.startsWith("settings")) byId("settings").open = true;
  const wait = error.retryAfter > 90 ? ` That is ${seconds(error.retryAfter)}.` : "";
  show(place, error.message + wait);
  if (control) { control.setAttribute("aria-invalid", "true"); control.focus(); }
}

function clearErrors() {
  for (const node of document.querySelectorAll(".composer .error")) show(node, "");
  for (const node of document.querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
}

export function fillFrom(metadata, { keepSeed }) {
  const key = catalog.models[metadata.model_id] ? metadata.model_id : catalog.default;
  useModel(key);
  carried = { max_sequence_length: metadata.settings.max_sequence_length };
  byId("enrich-undo").hidden = byId("proposal").hidden = true;
  byId("prompt").value = metadata.prompt;
  byId("negative").value = metadata.negative_prompt || "";
  for (const name of NUMBERS) if (metadata.settings[name] !== undefined) byId(name).value = metadata.settings[name];
  byId("num_images").value = 1;
  byId("seed").value = keepSeed ? metadata.seed : "";
  summarise();
  count();
}
