// Pictures that are chosen together, and what can be done with them.
import * as api from "./api.js";
import { byId, element, makeCloseable, plural, show, write } from "./dom.js";
import { offerLabels } from "./filters.js";
import { comparePictures } from "./later.js";
import { saveBlob } from "./picture.js";
import { findImage } from "./pictures.js";
import { toast } from "./toast.js";
import * as wall from "./wall.js";

const MOST_IN_ZIP = 500;
const MOST_LABELS = 16;
export const chosen = new Set(); // ids of images
let from = null; // where a range begins: the id last chosen
let gallery = null;
let redraw = () => {};

export const isChoosing = () => chosen.size > 0;

export function startSelection(theGallery, onChange) {
  gallery = theGallery;
  redraw = onChange;
  byId("selection-clear").addEventListener("click", () => { clearChosen(); byId("search").focus(); });
  byId("selection-delete").addEventListener("click", () => { gallery.remove([...chosen]); showSelection(); });
  byId("selection-zip").addEventListener("click", download);
  byId("selection-compare").addEventListener("click", () => comparePictures(...chosen));
  byId("selection-favourite").addEventListener("click", favour);
  byId("selection-label").addEventListener("click", askLabels);
  byId("label-form").addEventListener("submit", (event) => { event.preventDefault(); saveLabels(); });
  makeCloseable(byId("label-dialog"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isChoosing() && !document.querySelector("dialog[open]")) clearChosen();
  });
  gallery.onChange(showSelection);
}

export function toggle(entry, isLast = true) {
  const { id } = entry.image;
  if (chosen.has(id)) chosen.delete(id); else chosen.add(id);
  from = id;
  if (isLast) showSelection();
  else redraw();
}

// Chooses all from the last chosen one to this one.
export function toggleTo(entry) {
  const images = wall.tiles().map((tile) => tile.entry.image).filter(Boolean);
  const [one, other] = [images.findIndex(({ id }) => id === from), images.findIndex(({ id }) => id === entry.image.id)];
  const [first, last] = one < 0 ? [other, other] : [Math.min(one, other), Math.max(one, other)];
  for (const { id } of images.slice(first, last + 1)) chosen.add(id);
  if (one < 0) from = entry.image.id;
  showSelection();
}

export function clearChosen() {
  chosen.clear();
  from = null;
  showSelection();
}

function showSelection() {
  for (const id of chosen) if (!findImage(id)) chosen.delete(id);
  byId("selection").hidden = !chosen.size;
  byId("gallery").classList.toggle("is-choosing", isChoosing());
  write(byId("selection-count"), chosen.size ? `${chosen.size.toLocaleString("en")} chosen` : "");
  write(byId("selection-favourite").lastElementChild, areFavourites() ? "No favourite" : "Favourite");
  byId("selection-compare").hidden = chosen.size !== 2;
  wall.redraw();
}

const images = () => [...chosen].map(findImage).filter(Boolean);
const areFavourites = () => images().every((image) => image.favourite);

// Does something for each chosen picture, six at a time; says how many it did not work for.
async function forEach(action) {
  const left = images();
  let problem = null;
  let failed = 0;
  const work = async () => {
    for (let image = left.shift(); image; image = left.shift()) {
      try { await action(image); } catch (error) { problem = error; failed += 1; }
    }
  };
  await Promise.all(Array.from({ length: 6 }, work));
  if (problem) toast(`${plural(failed, "picture")} could not be changed. ${problem.message}`, { seconds: 8 });
  redraw();
}

function favour() {
  const wanted = !areFavourites();
  forEach(async (image) => {
    await api.setFavourite(image.id, wanted);
    gallery.update({ ...image, favourite: wanted });
  });
}

async function download() {
  const ids = [...chosen];
  if (ids.length > MOST_IN_ZIP) return toast(`At most ${MOST_IN_ZIP} pictures go into one file; ${ids.length} are chosen.`, { seconds: 8 });
  const button = byId("selection-zip");
  button.disabled = true;
  try {
    const date = new Date().toISOString().slice(0, 10);
    saveBlob(await api.zipOf(ids), `pictures-${date}.zip`);
  } catch (error) {
    toast(error.message, { seconds: 8 });
  } finally {
    button.disabled = false;
  }
  return undefined;
}

async function askLabels() {
  const all = images();
  const known = await api.labels().then((answer) => answer.labels.map(({ label }) => label), () => []);
  const names = [...new Set([...all.flatMap((image) => image.labels ?? []), ...known])].slice(0, 40);
  byId("label-chips").replaceChildren(...names.map((name) => {
    const having = all.filter((image) => image.labels?.includes(name)).length;
    const box = element("input", { type: "checkbox", value: name, checked: having === all.length, indeterminate: having > 0 && having < all.length });
    return element("label", {}, box, element("span", { dir: "auto", textContent: name }));
  }));
  byId("label-input").value = "";
  show(byId("label-error"), "");
  byId("label-dialog").showModal();
  byId("label-input").focus();
}

async function saveLabels() {
  const boxes = [...byId("label-chips").querySelectorAll("input")].filter((box) => !box.indeterminate);
  const added = byId("label-input").value.split(",").map((name) => name.trim()).filter(Boolean);
  const wanted = [...boxes.filter((box) => box.checked).map((box) => box.value), ...added];
  const unwanted = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
  if (wanted.length > MOST_LABELS) return show(byId("label-error"), `A picture has at most ${MOST_LABELS} labels.`);
  if (added.some((name) => name.length > 40)) return show(byId("label-error"), "A label has at most 40 letters.");
  byId("label-dialog").close();
  await forEach(async (image) => {
    const names = [...new Set([...(image.labels ?? []).filter((name) => !unwanted.has(name)), ...wanted])];
    await api.setLabels(image.id, names);
    gallery.update({ ...image, labels: names });
  });
  return offerLabels();
}
