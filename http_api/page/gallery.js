// The gallery: lists what the server has, takes in what comes, and is handled with pointer, finger and keyboard.
import * as api from "./api.js";
import { announce, byId } from "./dom.js";
import { describe, filters, fits, offerLabels, offerModels, startFilters } from "./filters.js";
import { may } from "./key.js";
import * as pictures from "./pictures.js";
import { chosen, clearChosen, isChoosing, startSelection, toggle, toggleTo } from "./selection.js";
import { onState, state } from "./state.js";
import { toast } from "./toast.js";
import * as wall from "./wall.js";
import { isBeingSent, works } from "./works.js";

const UNDO = 8; // s until a deletion is sent
const LONG = 450; // ms of a long touch
let cursor = "";
let isWhole = false; // whether all that the server has is listed
let loading = null;
let generation = 0;
let total = null;
let key = null; // the filters of what is listed
let open = () => {};
const listeners = new Set();
const leaving = new Map(); // ids of pictures that are being deleted: what sends it

export const gallery = {
  neighbours,
  remove,
  image: (id) => pictures.findImage(id),
  onChange(listener) { listeners.add(listener); return () => listeners.delete(listener); },
  update(image) { take(image); },
  focus(id) {
    const at = wall.tiles().findIndex(({ entry }) => entry.image?.id === id);
    if (at >= 0) wall.focusTile(at); else byId("search").focus();
  },
};

export function startGallery(openImage) {
  open = openImage;
  wall.startWall(() => ({ ...pictures.entries(state.order, isWhole), isWhole }), ({ image }) => Boolean(image) && chosen.has(image.id), load);
  startSelection(gallery, changed);
  startFilters(() => { if (JSON.stringify(filters()) !== key) reload(); });
  onState((name, data) => {
    if (name === "image") take(data);
    if (name === "image_removed" && pictures.removeImage(data.id)) { chosen.delete(data.id); count(-1); changed(); }
    if (name === "stream") refresh();
  });
  byId("more").addEventListener("click", load);
  handle();
  offerLabels();
  return reload();
}

export const offerFilterModels = offerModels;

// After tiles came, went or changed; once a frame is enough.
let frame = 0;
export function changed() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    wall.arrangeTiles();
    describe(total === null ? null : Math.max(total, wall.tiles().length ? 1 : 0));
    for (const listener of listeners) listener();
  });
}

export function countImage(image) {
  if (fits(image)) count(1);
}

function count(number) {
  if (total !== null) total = Math.max(0, total + number);
}

async function reload() {
  generation += 1;
  key = JSON.stringify(filters());
  clearChosen();
  loading = null;
  await load(true);
}

// The next page; the first one takes the place of what was listed once it is there.
function load(isFirst = false) {
  if (loading || (isWhole && isFirst !== true)) return loading;
  loading = fetchPage(isFirst === true, generation).finally(() => { loading = null; });
  return loading;
}

async function fetchPage(isFirst, asked) {
  let answer;
  try {
    answer = await api.gallery(filters(), isFirst ? "" : cursor);
  } catch (error) {
    if (asked !== generation) return;
    describe(null, error.message);
    byId("more").hidden = false;
    return;
  }
  if (asked !== generation) return;
  if (isFirst) pictures.clear();
  pictures.append(answer.images);
  total = answer.total;
  cursor = answer.next_cursor ?? "";
  isWhole = !answer.has_more;
  byId("more").hidden = true;
  changed();
}

// What came while the stream was cut.
async function refresh() {
  if (total === null) return reload();
  const asked = generation;
  const answer = await api.gallery(filters(), "").catch(() => null);
  if (!answer || asked !== generation || filters().sort) return undefined;
  const fresh = answer.images.filter((image) => !pictures.findImage(image.id));
  if (fresh.length === answer.images.length && answer.has_more) return reload();
  for (const image of fresh.reverse()) put(image);
  total = answer.total;
  return changed();
}

function put(image) {
  const group = pictures.find(image.job_id) ?? pictures.makeGroup(image.job_id);
  const isNew = !group.time && !group.images.size;
  pictures.putImage(group, image);
  if (isNew) pictures.addFresh(group);
}

// A picture that came or changed.
function take(image) {
  const known = pictures.findImage(image.id);
  if (known) {
    Object.assign(known, image);
    return changed();
  }
  if (leaving.has(image.id) || isBeingSent(image.prompt)) return undefined;
  if (!pictures.find(image.job_id) && (!fits(image) || filters().sort)) return undefined;
  put(image);
  countImage(image);
  return changed();
}

async function neighbours(id) {
  const shown = () => wall.tiles().filter(({ entry }) => entry.image).map(({ entry }) => entry.image.id);
  let ids = shown();
  let at = ids.indexOf(id);
  if (at === ids.length - 1 && !isWhole) {
    await load();
    wall.arrangeTiles();
    ids = shown();
    at = ids.indexOf(id);
  }
  return { previous: ids[at - 1] ?? null, next: at < 0 ? null : ids[at + 1] ?? null };
}

// Hides pictures at once; they are deleted when nobody has taken it back, or the page is left.
function remove(ids) {
  const gone = ids.filter((id) => !leaving.has(id));
  if (!gone.length) return;
  const undo = () => { for (const id of gone) { pictures.list.hidden.delete(id); leaving.delete(id); } count(gone.length); changed(); };
  const send = async () => {
    if (!gone.some((id) => leaving.has(id))) return;
    for (const id of gone) leaving.delete(id);
    try {
      await api.removeImages(gone);
      for (const id of gone) pictures.removeImage(id);
    } catch (error) {
      undo();
      toast(`Not deleted: ${error.message}`, { seconds: 10 });
    }
  };
  for (const id of gone) { pictures.list.hidden.add(id); leaving.set(id, send); chosen.delete(id); }
  count(-gone.length);
  changed();
  const words = gone.length === 1 ? "The picture is deleted." : `${gone.length} pictures are deleted.`;
  toast(words, { label: "Undo", run: () => { undo(); announce("They are back."); }, onGone: send, seconds: UNDO });
}

window.addEventListener("pagehide", () => { for (const send of new Set(leaving.values())) send(); });

async function favour(image) {
  const wanted = !image.favourite;
  take({ ...image, favourite: wanted });
  try {
    await api.setFavourite(image.id, wanted);
  } catch (error) {
    take({ ...image, favourite: !wanted });
    toast(error.message);
  }
}

function handle() {
  const place = byId("gallery");
  let touched = 0;
  let held = false;
  place.addEventListener("pointerdown", (event) => {
    held = false;
    if (event.pointerType === "mouse" || !event.target.closest(".open")) return;
    touched = setTimeout(() => { held = true; toggle(entryOf(event.target)); navigator.vibrate?.(10); }, LONG);
  });
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) place.addEventListener(name, () => clearTimeout(touched));
  place.addEventListener("contextmenu", (event) => { if (held || (isChoosing() && event.pointerType === "touch")) event.preventDefault(); });
  place.addEventListener("click", (event) => {
    const entry = entryOf(event.target);
    if (!entry) return;
    if (event.target.closest("[data-does]")) act(event.target.closest("[data-does]").dataset.does, entry.group.id);
    else if (event.target.closest(".heart")) favour(entry.image);
    else if (event.target.closest(".chosen")) choose(entry, event.shiftKey);
    else if (held) held = false;
    else if (event.target.closest(".open")) {
      if (isChoosing() || event.shiftKey || event.ctrlKey || event.metaKey) choose(entry, event.shiftKey);
      else open(entry.image.id);
    }
  });
  place.addEventListener("keydown", pressKey);
}

const entryOf = (node) => wall.tiles()[wall.tileAt(node)]?.entry;
const choose = (entry, isRange) => (isRange ? toggleTo(entry) : toggle(entry));

async function act(what, id) {
  try {
    await works[what](id);
  } catch (error) {
    toast(error.message, { seconds: 8 });
  }
}

function pressKey(event) {
  const at = wall.tileAt(event.target);
  const entry = wall.tiles()[at]?.entry;
  if (!entry || event.altKey || (event.ctrlKey && event.key !== "a") || event.metaKey) return;
  const last = wall.tiles().length - 1;
  const go = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key]
    ?? (event.key === "ArrowUp" ? wall.neighbourRow(at, -1) : event.key === "ArrowDown" ? wall.neighbourRow(at, 1) : null);
  if (go !== null) {
    event.preventDefault();
    if (event.shiftKey && wall.tiles()[go]?.entry.image) toggleTo(wall.tiles()[go].entry);
    wall.focusTile(Math.min(Math.max(go, 0), last));
  } else if (event.key === "x" && entry.image) {
    toggle(entry);
  } else if (event.key === "f" && entry.image && may("submit")) {
    favour(entry.image);
  } else if (event.key === "Delete" && may("admin") && (chosen.size || entry.image)) {
    remove(chosen.size ? [...chosen] : [entry.image.id]);
    requestAnimationFrame(() => requestAnimationFrame(() => wall.focusTile(Math.min(at, wall.tiles().length - 1))));
  } else if (event.key === "a" && event.ctrlKey) {
    event.preventDefault();
    for (const tile of wall.tiles()) if (tile.entry.image && !chosen.has(tile.entry.image.id)) toggle(tile.entry, false);
  }
}
