// One picture over the whole window, with what is known of it and what can be done with it. Its id is in the address.
import * as api from "./api.js";
import { differences, makeDivider } from "./compare.js";
import { byId, element, icon, memory, show, write } from "./dom.js";
import { showKeys, startKeysHelp } from "./keys-help.js";
import { whenKeyChanges } from "./key.js";
import { fileName, startActions } from "./viewer-actions.js";
import { makeDialog } from "./viewer-dialog.js";
import { factsOf, showDifferences, showFacts } from "./viewer-facts.js";
import { startViewerKeys } from "./viewer-keys.js";
import { forgetPictures, preload, put } from "./viewer-pictures.js";
import { startZoom } from "./zoom.js";

const PANEL = "cyberimage.viewer-panel";
let gallery = null;
let dialog = null;
let zoom = null;
let divider = null;
let turn = 0; // counts what was asked for: only the last answer is shown
const shown = { image: null, beside: { previous: null, next: null }, other: null, isToBar: false };

export function startViewer(parts) {
  ({ gallery } = parts);
  dialog = makeDialog();
  const stage = byId("viewer-stage");
  zoom = startZoom(stage, byId("viewer-image"), { onSwipe: step, onChange: showZoom });
  divider = makeDivider(stage);
  byId("viewer-second").parentElement.after(divider.handle);
  const viewer = { current: () => shown.image, change, close, leave };
  const actions = startActions({ ...parts, viewer });
  startViewerKeys(dialog, { zoom, divider, step, togglePanel, toggleComparison, stepOther, isComparing, close, ...actions });
  startKeysHelp();
  startButtons();
  dialog.addEventListener("close", closed);
  gallery.onChange(() => { if (dialog.open) lookBeside(); });
  whenKeyChanges(forgetPictures);
  window.addEventListener("popstate", followAddress);
  showPanel(memory.read(PANEL) !== "closed");
  return followAddress();
}

function startButtons() {
  const on = (id, act) => byId(id).addEventListener("click", act);
  on("viewer-close", () => close());
  on("viewer-previous", () => step(-1));
  on("viewer-next", () => step(1));
  on("viewer-smaller", () => zoom.by(1 / 1.5));
  on("viewer-larger", () => zoom.by(1.5));
  on("viewer-fit", () => (zoom.isZoomed() ? zoom.fit() : zoom.real()));
  on("viewer-info", togglePanel);
  on("viewer-keys", showKeys);
  on("viewer-compare", toggleComparison);
  on("viewer-compare-end", toggleComparison);
  on("viewer-other-previous", () => stepOther(-1));
  on("viewer-other-next", () => stepOther(1));
}

// The address: `?image=`, which a reload and the back button follow.
const idInAddress = () => new URLSearchParams(location.search).get("image");

function withImage(id) {
  const address = new URL(location);
  if (id) address.searchParams.set("image", id); else address.searchParams.delete("image");
  return address;
}

// One entry for the viewer, however many pictures are looked at: back leads to the gallery.
function enterAddress(id) {
  if (idInAddress() === id) return;
  if (idInAddress()) history.replaceState(history.state, "", withImage(id));
  else history.pushState({ isFromGallery: true }, "", withImage(id));
}

function leaveAddress() {
  if (!idInAddress()) return;
  if (history.state?.isFromGallery) history.back(); else history.replaceState(null, "", withImage(null));
}

async function followAddress() {
  const id = idInAddress();
  if (!id) close();
  else if (id !== shown.image?.id || !dialog.open) await openImage(id);
}

export async function openImage(id) {
  const mine = ++turn;
  const known = gallery.image(id);
  if (known) present(known);
  try {
    const metadata = await api.metadata(id);
    if (mine === turn) present({ ...known, ...metadata });
  } catch (error) {
    if (mine === turn) missing(error, known);
  }
}

function missing(error, known) {
  if (known && error.status !== 404) return; // what the gallery knows of it is shown
  if (dialog.open) close();
  else if (idInAddress()) history.replaceState(null, "", withImage(null));
  show(byId("banner"), error.status === 404 ? "This picture is gone, or never was." : error.message);
}

// Shows a picture, or more of what is known of the one that is shown.
function present(image) {
  const isAnother = image.id !== shown.image?.id || !dialog.open;
  shown.image = image;
  describe();
  if (!isAnother) return;
  show(byId("banner"), "");
  endComparison();
  putImage(byId("viewer-image"), image);
  zoom.use(image);
  enterAddress(image.id);
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus(); // its name and the words are read, and all keys work
  }
  byId("viewer-panel").scrollTop = 0;
  write(byId("viewer-announcer"), image.prompt);
  lookBeside();
}

async function putImage(node, image) {
  node.alt = image.prompt;
  node.parentElement.classList.add("loading");
  try {
    await put(node, image.id);
  } catch {
    if (node.dataset.id === image.id) write(byId("viewer-announcer"), "The picture cannot be loaded; what is seen is its thumbnail.");
  }
  if (node.dataset.id === image.id) node.parentElement.classList.remove("loading");
}

function describe() {
  const { image } = shown;
  byId("viewer-prompt").textContent = image.prompt;
  Object.assign(byId("viewer-download"), { href: api.imageAddress(image.id), download: fileName(image) });
  byId("viewer-favourite").setAttribute("aria-pressed", String(Boolean(image.favourite)));
  byId("viewer-labels").replaceChildren(...(image.labels ?? []).map(chip));
  if (!isComparing()) showFacts(image);
}

function chip(label) {
  const remove = element("button", { type: "button", value: label, className: "chip" }, element("span", { textContent: label, dir: "auto" }), icon("close"));
  remove.setAttribute("aria-label", `Remove the label ${label}`);
  return element("li", {}, remove);
}

function change(image) {
  if (image.id === shown.image?.id) { shown.image = image; describe(); }
  const known = gallery.image(image.id);
  if (known) gallery.update({ ...known, favourite: image.favourite, labels: image.labels });
}

async function lookBeside() {
  const { id } = shown.image;
  const beside = await gallery.neighbours(id);
  if (id !== shown.image?.id) return;
  shown.beside = beside;
  // Never `disabled`: a button that has the keyboard would lose it, and with it all keys.
  const offer = (name, isPossible) => byId(name).setAttribute("aria-disabled", String(!isPossible));
  offer("viewer-previous", beside.previous);
  offer("viewer-next", beside.next);
  offer("viewer-compare", isComparing() || beside.previous || beside.next);
  for (const other of [beside.next, beside.previous]) if (other) preload(other);
}

async function step(direction) {
  const { previous, next } = await gallery.neighbours(shown.image.id); // as it is now
  const id = direction < 0 ? previous : next;
  if (id && dialog.open) openImage(id);
}

// Called before a picture is removed: the next one takes its place, if there is any.
async function leave(id) {
  const { previous, next } = await gallery.neighbours(id);
  if (next || previous) openImage(next ?? previous); else close();
}

function close({ toBar = false } = {}) {
  shown.isToBar = toBar;
  if (dialog.open) dialog.close();
}

function closed() {
  turn += 1; // what is still on its way is not wanted any more
  endComparison();
  leaveAddress();
  if (!shown.isToBar) gallery.focus(shown.image.id);
}

function showPanel(isOpen) {
  dialog.classList.toggle("bare", !isOpen);
  byId("viewer-info").setAttribute("aria-pressed", String(isOpen));
}

function togglePanel() {
  const isOpen = dialog.classList.contains("bare");
  showPanel(isOpen);
  memory.write(PANEL, isOpen ? "" : "closed");
}

function showZoom({ isZoomed, percent }) {
  write(byId("viewer-fit"), `${percent} %`);
  const meaning = isZoomed ? "Fit into the window" : "Real size";
  byId("viewer-fit").setAttribute("aria-label", `${percent} percent: ${meaning}`);
  byId("viewer-fit").title = meaning;
}

const isComparing = () => shown.other !== null;

async function toggleComparison() {
  if (isComparing()) {
    endComparison();
    byId("viewer-compare").focus();
    return;
  }
  const { next, previous } = shown.beside;
  if (next ?? previous) await compareWith(next ?? previous);
}

// Opens two pictures on one stage, for example those that were chosen in the gallery.
export async function comparePictures(left, right) {
  await openImage(left);
  if (shown.image?.id === left && dialog.open) await compareWith(right);
}

async function compareWith(id) {
  const mine = turn;
  const other = gallery.image(id) ?? await api.metadata(id);
  if (mine !== turn || !dialog.open) return;
  const isBeginning = !isComparing();
  shown.other = other;
  dialog.classList.add("comparing");
  byId("viewer-compare").setAttribute("aria-pressed", "true");
  putImage(byId("viewer-second"), other);
  write(byId("viewer-other-name"), `Right: seed ${other.seed}, ${other.prompt}`);
  showDifferences(differences(comparable(shown.image), comparable(other)));
  if (isBeginning) divider.start();
  write(byId("viewer-announcer"), `Compared with: ${other.prompt}, seed ${other.seed}`);
}

// Metadata says more than the gallery does; only what both may hold can differ.
function comparable({ prompt, negative_prompt, model_id, seed, width, height, settings }) {
  const { Id, ...facts } = factsOf({ model_id, seed, width, height, settings });
  return { Words: prompt, ...(negative_prompt && { "Left out": negative_prompt }), ...facts };
}

async function stepOther(direction) {
  let id = shown.other.id;
  do {
    const { previous, next } = await gallery.neighbours(id);
    id = direction < 0 ? previous : next;
  } while (id === shown.image.id); // never with itself
  if (id) await compareWith(id);
}

function endComparison() {
  if (!isComparing()) return;
  shown.other = null;
  divider.stop();
  dialog.classList.remove("comparing");
  byId("viewer-compare").setAttribute("aria-pressed", "false");
  byId("viewer-second").removeAttribute("src");
  showFacts(shown.image);
}
