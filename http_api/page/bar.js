// The prompt bar: what is asked for, in one place. Nothing is sent from elsewhere, and a press of Make is sent once.
import * as api from "./api.js";
import { hideProposal, startEnrichment } from "./enrichment.js";
import { keepDraft, rememberPrompt, startPrompts, storedDraft } from "./draft.js";
import { announce, byId, element, makeOpener, plural, seconds, write } from "./dom.js";
import { clearProblems, controlOf, inWords, makeFields, NUMBERS, placeProblem, problem } from "./fields.js";
import { catalog, loadModels, model, preferred, showShapes, startShapes } from "./models.js";
import { toast } from "./toast.js";

const EXAMPLES = ["a red house and a green tree at sunset", "a white boat on the sea at night", "a castle on a hill"];
const TWICE = 500; // ms within which the same request is the same press: a double click
const FIELDS = ["prompt", "negative", "seed", ...NUMBERS.map(({ name }) => name)];
let works = null; // who shows what is being made
let carried = {}; // settings of a picture that have no field here, but are needed to make it again
let last = { text: "", time: 0 };
let save = () => {};
let openDrawer = () => {};
let openOptions = () => {};
let isKnown = null; // resolves once the models are known

export const bar = { fill, submit };

export function startBar(theWorks) {
  works = theWorks;
  makeFields();
  openDrawer = makeOpener(byId("drawer-open"), byId("drawer"));
  byId("drawer-close").addEventListener("click", () => { openDrawer(false); byId("drawer-open").focus(); });
  openOptions = makeOpener(byId("options-open"), byId("options"), { close: (isOpen) => byId("form").classList.toggle("is-open", isOpen) });
  save = keepDraft(draft, applyDraft);
  startShapes(changed);
  startPrompts(setPrompt);
  startEnrichment(setPrompt, showError);
  byId("examples").append(...EXAMPLES.map(example));
  byId("model").addEventListener("change", () => { useModel(true); changed(); });
  byId("form").addEventListener("input", refresh);
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); pressed(); });
  byId("submit").addEventListener("click", (event) => { if (event.detail > 1) event.preventDefault(); });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!event.repeat) byId("form").requestSubmit();
  });
  byId("reset").addEventListener("click", () => { byId("seed").value = ""; useModel(false); changed(); });
  byId("dice").addEventListener("click", () => { byId("seed").value = crypto.getRandomValues(new Uint32Array(1))[0]; changed(); });
  if (!CSS.supports("field-sizing", "content")) byId("prompt").addEventListener("input", grow);
  const { prompt, ...rest } = storedDraft();
  applyDraft(byId("prompt").value ? rest : { prompt, ...rest }); // somebody may have been quicker
  document.documentElement.dataset.isReady = "yes";
}

function grow() {
  byId("prompt").style.height = "auto";
  byId("prompt").style.height = `${byId("prompt").scrollHeight}px`;
}

function example(words) {
  const button = element("button", { type: "button", className: "secondary", textContent: words });
  button.addEventListener("click", () => { setPrompt(words); byId("submit").focus(); });
  return button;
}

export function startModels() {
  isKnown = loadModels(() => {
    const { prompt, ...rest } = storedDraft();
    useModel(true);
    applyDraft(rest);
  });
  if (document.documentElement.dataset.pressed === "form") pressed();
  delete document.documentElement.dataset.pressed;
  return isKnown;
}

const number = () => Number(byId("counts").querySelector(":checked")?.value ?? 1);

function setNumber(wanted) {
  for (const radio of byId("counts").querySelectorAll("input")) radio.checked = Number(radio.value) === wanted;
  if (!byId("counts").querySelector(":checked")) byId("counts").querySelector("input").checked = true;
}

function setPrompt(words) {
  byId("prompt").value = words;
  if (!CSS.supports("field-sizing", "content")) grow();
  changed();
}

function changed() {
  refresh();
  save();
}

// What depends on the fields: the chosen shape, and the one line that phones show of all this.
function refresh() {
  showShapes();
  const [width, height] = ["width", "height"].map((name) => byId(name).value);
  write(byId("options-summary"), [plural(number(), "picture"), width && `${width} × ${height}`, byId("model").value].filter(Boolean).join(" · "));
}

// Fills in the model's own settings. With `keepsShape` a chosen shape stays, in this model's size.
function useModel(keepsShape) {
  const entry = model();
  if (!entry) return;
  const shape = keepsShape && byId("shapes").querySelector(":checked");
  carried = {};
  for (const { name } of NUMBERS) byId(name).value = entry.defaults?.[name] ?? "";
  byId("model-note").textContent = entry.description;
  const ignores = entry.capabilities?.negative_prompt === false;
  byId("negative").disabled = ignores;
  byId("negative-note").hidden = !ignores;
  write(byId("negative-note"), `${byId("model").value} cannot leave things out.`);
  showShapes();
  if (shape) shape.click(); // chooses the size that this model has for it
  clearProblems();
  refresh();
}

function draft() {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, byId(name).value]));
  return { ...fields, model: byId("model").value, count: number(), carried };
}

function applyDraft(stored) {
  if (catalog.models[stored.model] && byId("model").value !== stored.model) {
    byId("model").value = stored.model;
    useModel(false);
  }
  const isOfModel = !stored.model || byId("model").value === stored.model;
  for (const name of FIELDS) {
    const isFree = name === "prompt" || name === "negative" || name === "seed";
    if (typeof stored[name] === "string" && (isFree || (isOfModel && stored[name]))) byId(name).value = stored[name];
  }
  if (isOfModel && stored.carried) carried = stored.carried;
  if (stored.count) setNumber(stored.count);
  refresh();
}

function request() {
  const settings = { ...carried, num_images: number() };
  for (const { name } of NUMBERS) if (byId(name).value !== "") settings[name] = Number(byId(name).value.replace(",", "."));
  const seed = byId("seed").value.trim();
  if (seed) settings.seed = String(BigInt(seed));
  const body = { model_id: byId("model").value, prompt: byId("prompt").value, settings };
  if (byId("negative").value.trim() && !byId("negative").disabled) body.negative_prompt = byId("negative").value;
  return body;
}

async function pressed() {
  clearProblems();
  if (!byId("prompt").value.trim()) return showError({ field: "prompt", message: "First say what the picture should show." });
  if (!model()) await isKnown.catch(() => {});
  if (!model()) return showError({ message: "The models are not known yet, since the server cannot be reached." });
  const found = problem();
  if (found) return place(found);
  const body = request();
  const text = JSON.stringify(body);
  const now = performance.now();
  const isSame = text === last.text && now - last.time < TWICE;
  last = { text, time: now };
  if (isSame) return undefined;
  hideProposal();
  return submit(body);
}

// Sends a request as one press; resolves to the accepted answer, or to null where it was refused (the bar says why).
async function submit(body) {
  rememberPrompt(body.prompt);
  try {
    const answer = await works.make(body);
    if (answer) announce(["In the queue.", ...(answer.warnings || [])].join(" "));
    for (const warning of answer?.warnings || []) toast(inWords(warning), { seconds: 10 });
    return answer;
  } catch (error) {
    showError(error);
    return null;
  }
}

function showError(error) {
  const wait = error.retryAfter > 90 ? ` That is ${seconds(error.retryAfter)}.` : "";
  place({ name: error.field ?? "", text: inWords(error.message) + wait });
}

// Shows what is wrong under its field, and takes the keyboard there.
function place(found) {
  const control = controlOf(found.name);
  if (control?.closest(".drawer, .options")) openOptions(true);
  if (control?.closest(".drawer")) openDrawer(true);
  const marked = placeProblem(found, (values) => {
    for (const [name, value] of Object.entries(values)) byId(name).value = value;
    changed();
  });
  marked?.focus();
  marked?.scrollIntoView({ block: "nearest" });
}

// Puts what a picture was made with into the bar. Words that were only typed so far can be brought back.
function fill(picture, { parts = "all" } = {}) {
  const own = draft();
  const settings = picture.settings ?? {};
  clearProblems();
  hideProposal();
  if (parts === "all") {
    byId("model").value = catalog.models[picture.model_id] ? picture.model_id : preferred();
    useModel(false);
    for (const { name } of NUMBERS) if (settings[name] !== undefined) byId(name).value = settings[name];
    carried = settings.max_sequence_length === undefined ? {} : { max_sequence_length: settings.max_sequence_length };
    setNumber(1);
  }
  if (parts === "size") for (const name of ["width", "height"]) byId(name).value = settings[name] ?? picture[name];
  if (parts === "seed" || parts === "all") byId("seed").value = picture.seed;
  if (parts === "prompt" || parts === "all") {
    byId("prompt").value = picture.prompt;
    byId("negative").value = picture.negative_prompt || "";
  }
  changed();
  const isLost = own.prompt.trim() && own.prompt !== byId("prompt").value;
  if (isLost) rememberPrompt(own.prompt);
  toast(isLost ? "Filled in; your own words are put aside." : "Filled in.", {
    label: "Undo", run: () => { useModel(false); applyDraft(own); changed(); }, seconds: 8,
  });
  byId("prompt").focus();
}
