// What the gallery shows, in order: groups of one job's pictures. The fresh groups, of jobs that are active or came while
// the page is open, stand before those that were listed by the server, so that these stay where they are.
import { memory } from "./dom.js";

const MINE = "cyberimage.jobs";
const MOST_COMING = 24; // tiles of waiting jobs; the rest of the queue is a number
export const list = { fresh: [], base: [], hidden: new Set() };
const listed = new Map(); // id of a job: its group in `base`
const known = new Map(); // id of an image: it
let mine = memory.readJson(MINE, []).filter((id) => typeof id === "string");

export const isMine = (id) => mine.includes(id);
export const mineIds = () => [...mine];

export function own(id) {
  mine = [id, ...memory.readJson(MINE, []).filter((other) => other !== id)].slice(0, 60);
  memory.write(MINE, JSON.stringify(mine));
}

export function disown(id) {
  if (!isMine(id)) return;
  mine = memory.readJson(MINE, []).filter((other) => other !== id);
  memory.write(MINE, JSON.stringify(mine));
}

// When a job was accepted, in milliseconds: the first 48 bits of its order, which is in the ids of its images.
const orderOf = (imageId) => imageId.slice(4, imageId.lastIndexOf("_"));
const timeOf = (order) => parseInt(order.replaceAll("-", "").slice(0, 12), 16);

export function makeGroup(id, values = {}) {
  return { id, time: 0, images: new Map(), gone: new Set(), status: null, request: null, problem: "", ...values };
}

export const find = (id) => list.fresh.find((group) => group.id === id) ?? listed.get(id);

export const findImage = (id) => known.get(id) ?? null;

export function addFresh(group) {
  const at = list.fresh.findIndex((other) => other.time <= group.time);
  list.fresh.splice(at < 0 ? list.fresh.length : at, 0, group);
  return group;
}

// A job of whose pictures some were listed becomes fresh once it draws more of them.
export function freshGroup(id, time) {
  const group = find(id) ?? makeGroup(id, { time });
  if (list.fresh.includes(group)) return group;
  drop(group);
  return addFresh(group);
}

export function drop(group) {
  for (const groups of [list.fresh, list.base]) {
    const at = groups.indexOf(group);
    if (at >= 0) groups.splice(at, 1);
  }
  if (listed.get(group.id) === group) listed.delete(group.id);
}

export function putImage(group, image) {
  group.images.set(image.image_number, image);
  known.set(image.id, image);
  if (!group.time) group.time = timeOf(orderOf(image.id));
}

// Takes a page of the server's list in, in its order.
export function append(images) {
  for (const image of images) {
    const before = find(image.job_id);
    const group = before ?? makeGroup(image.job_id);
    putImage(group, image);
    if (before) continue;
    list.base.push(group);
    listed.set(group.id, group);
  }
}

export function removeImage(imageId) {
  const image = findImage(imageId);
  const group = image && find(image.job_id);
  if (!group) return false;
  group.images.delete(image.image_number);
  group.gone.add(image.image_number);
  known.delete(imageId);
  list.hidden.delete(imageId);
  if (!group.images.size && !isComing(group)) drop(group);
  return true;
}

export const isComing = (group) => Boolean(group.request) || ["pending", "processing"].includes(group.status?.status);
export const isFailed = (group) => group.status?.status === "failed" || Boolean(group.problem);

// Every listing is made again; what is being made, or did not come, stays.
export function clear() {
  list.fresh = list.fresh.filter((group) => isComing(group) || isFailed(group));
  list.base = [];
  listed.clear();
  known.clear();
  for (const group of list.fresh) for (const image of group.images.values()) known.set(image.id, image);
}

// The tiles of the gallery: { key, group, number, image, ratio }, fresh and listed ones. While there are more to list, the
// last job waits for the rest of its pictures.
export function entries(turn, isWhole) {
  const shown = shownWaiting(turn);
  const last = list.base.at(-1);
  const isSplit = !isWhole && last && last.images.size < [...last.images.values()][0].total_images;
  return {
    fresh: list.fresh.filter((group) => group.status?.status !== "pending" || shown.has(group)).flatMap(entriesOf),
    base: (isSplit ? list.base.slice(0, -1) : list.base).flatMap(entriesOf),
  };
}

function shownWaiting(turn) {
  const shown = new Set();
  const place = (group) => { const at = turn.indexOf(group.id); return at < 0 ? Infinity : at; };
  const groups = list.fresh.filter((group) => group.status?.status === "pending").sort((one, other) => place(one) - place(other));
  let tiles = 0;
  for (const group of groups) {
    tiles += size(group).number;
    if (tiles > MOST_COMING && shown.size) break;
    shown.add(group);
  }
  return shown;
}

function size(group) {
  const settings = group.status?.effective_settings ?? group.request?.settings ?? {};
  return { number: settings.num_images ?? 1, ratio: (settings.width ?? 1) / (settings.height ?? 1) };
}

// Keys stay the same while a group's job gets its id and its images come, so that each tile stays the element that it is.
const keys = new WeakMap();
let groupsSeen = 0;
function keyOf(group, number) {
  if (!keys.has(group)) keys.set(group, (groupsSeen += 1));
  return `${keys.get(group)}:${number}`;
}

function entriesOf(group) {
  const { number, ratio } = size(group);
  const found = [];
  for (const [place, image] of group.images) {
    if (!list.hidden.has(image.id)) found.push({ key: keyOf(group, place), group, number: place, image, ratio: image.width / image.height });
  }
  const missing = [];
  for (let place = 1; place <= number; place += 1) if (!group.images.has(place) && !group.gone.has(place)) missing.push(place);
  const wanted = isFailed(group) ? missing.slice(0, 1) : isComing(group) ? missing : [];
  for (const place of wanted) found.push({ key: keyOf(group, place), group, number: place, image: null, ratio });
  return found.sort((one, other) => one.number - other.number);
}
