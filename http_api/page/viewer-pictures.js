// The pictures of the viewer: those beside the one that is seen are loaded before they are asked for.
import * as api from "./api.js";
import { hasKey, send } from "./key.js";

const KEPT = 7; // addresses that hold a whole picture, where a key is needed
const loaded = new Map(); // id: promise of an address

// Where a key is needed, pictures are fetched with it first: an <img> cannot send one.
export function addressOf(id) {
  if (!hasKey()) return Promise.resolve(api.imageAddress(id));
  const known = loaded.get(id) ?? blobOf(id).then((blob) => URL.createObjectURL(blob));
  loaded.delete(id);
  loaded.set(id, known); // the latest is the last to go
  known.catch(() => loaded.delete(id));
  for (const [oldest, address] of loaded) {
    if (loaded.size <= KEPT) break;
    loaded.delete(oldest);
    address.then((it) => URL.revokeObjectURL(it), () => {});
  }
  return known;
}

export async function blobOf(id) {
  const answer = await send(api.imageAddress(id));
  if (!answer.ok) throw new api.ApiError("The picture could not be fetched.", answer.status);
  return answer.blob();
}

export function forgetPictures() {
  for (const address of loaded.values()) address.then((it) => URL.revokeObjectURL(it), () => {});
  loaded.clear();
}

export async function preload(id) {
  try {
    await decoded(await addressOf(id));
  } catch { /* it is told when somebody wants to see it */ }
}

async function decoded(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return address;
}

// Puts a picture into an <img>: first what is at hand (its thumbnail), then the whole of it.
export async function put(node, id) {
  node.dataset.id = id;
  const isWanted = () => node.dataset.id === id;
  if (hasKey()) node.removeAttribute("src"); else node.src = api.thumbnailAddress(id); // never the picture before
  const address = await decoded(await addressOf(id));
  if (isWanted()) node.src = address;
}
