// Pictures of the API in <img> elements. Where a key is needed they are fetched first: an <img> cannot send one.
import { ApiError } from "./api.js";
import { hasKey, send } from "./key.js";

const waiting = new WeakMap(); // what an <img> must show once it comes near the screen
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    showFetched(target, waiting.get(target));
  }
}, { rootMargin: "400px" });

export function showPicture(node, address) {
  if (hasKey()) showFetched(node, address); else node.src = address;
}

export function showLazily(node, address) {
  if (!hasKey()) {
    node.src = address; // loading="lazy" is enough
    return;
  }
  waiting.set(node, address);
  near.observe(node);
}

// Returns whether it is shown; what was shown before stays if it cannot be.
export async function showFetched(node, address) {
  node.dataset.address = address;
  let picture;
  try {
    picture = await fetched(address);
  } catch {
    return false;
  }
  if (node.dataset.address !== address) return false; // it was asked for another one meanwhile
  const place = URL.createObjectURL(picture);
  node.addEventListener("load", () => URL.revokeObjectURL(place), { once: true });
  node.src = place;
  return true;
}

async function fetched(address) {
  const answer = await send(address);
  if (!answer.ok) throw new ApiError("The picture could not be fetched.", answer.status);
  return answer.blob();
}

// Saves what a download link leads to; without a key the browser does that by itself.
export async function save(event, link) {
  if (!hasKey() || link.href.startsWith("blob:")) return;
  event.preventDefault();
  saveBlob(await fetched(link.href), link.download);
}

export function saveBlob(blob, name) {
  const place = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: place, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(place), 60_000); // the browser has read it by then
}
