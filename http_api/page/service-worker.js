// Lets one look at what was loaded before while the server cannot be reached. Whatever the server answers comes first:
// only pictures, which never change, are taken from here without asking.
//
// The server writes a first line before this text, `const SHELL = {"version": ..., "files": {path: hash}}`: what the
// page is made of, by content. So every upgrade is another script, which the browser installs by itself.
//
// Answers are kept apart by the API key that they were made with, and all others are forgotten as soon as another key,
// or none, is used. Requests that say `no-store` (the page's, with a key that only its tab keeps) leave nothing behind.
/* global SHELL */

const SCOPE = new URL(self.registration.scope);
const OURS = `cyberimage ${SCOPE.pathname} `; // other installations may lie below other paths of the same host
const SHELL_CACHE = `${OURS}shell ${SHELL.version}`;
const MIB = 2 ** 20;
const KINDS = [
  { name: "thumbnails", path: /^api\/image\/[^/]+\/thumbnail$/, isFinal: true, entries: 600, bytes: 24 * MIB },
  { name: "pictures", path: /^api\/get_image\/[^/]+$/, isFinal: true, entries: 80, bytes: 160 * MIB },
  { name: "answers", path: /^api\/(gallery|models|me|labels|image\/[^/]+\/metadata)$/, isFinal: false, entries: 300, bytes: 8 * MIB },
];
const IMAGE = /^api\/image\/([^/]+)(?:\/metadata)?$/;
const UNREACHED = [502, 504]; // a proxy says that there is nobody behind it
const held = new Map(); // cache name: Map of address to bytes, oldest first
let lastOwner = null;
let keeping = Promise.resolve(); // one after the other, so that the bounds hold

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const path = pathOf(request.url);
  if (path === null) return;
  if (request.method !== "GET") {
    const deleted = deletedBy(request, path);
    if (!deleted) return;
    event.waitUntil(deleted.then((ids) => Promise.all(ids.map(forgetImage))));
    event.respondWith(fetch(request)); // from here it arrives even if the page is being left
  } else if (request.mode === "navigate") {
    if (path === "") event.respondWith(fromServer(event, SHELL_CACHE, SCOPE.href));
  } else if (Object.hasOwn(SHELL.files, path)) {
    event.respondWith(fromServer(event, SHELL_CACHE, address(path)));
  } else if (path.startsWith("api/")) {
    answerApi(event, path);
  }
});

const address = (path) => new URL(path, SCOPE).href;

function pathOf(url) {
  const { origin, pathname } = new URL(url);
  return origin === SCOPE.origin && pathname.startsWith(SCOPE.pathname) ? pathname.slice(SCOPE.pathname.length) : null;
}

// All files of one version, or none: an upgrade may happen between two of them.
async function install() {
  try {
    const cache = await caches.open(SHELL_CACHE);
    await Promise.all(Object.entries(SHELL.files).map(async ([path, hash]) => {
      const response = await fetch(address(path), { cache: "no-cache" });
      const tag = response.headers.get("ETag");
      if (!response.ok || (tag && !tag.includes(hash))) throw new Error(`${path || "the page"} is not of this version`);
      await cache.put(address(path), response);
    }));
  } catch (error) {
    await caches.delete(SHELL_CACHE);
    throw error; // the browser tries again at the next visit
  }
  await self.skipWaiting();
}

async function activate() {
  await forget((name) => name.startsWith(`${OURS}shell `) && name !== SHELL_CACHE);
  await self.clients.claim();
}

function answerApi(event, path) {
  const key = event.request.headers.get("Authorization") || event.request.headers.get("X-Api-Key") || "";
  const owner = ownerOf(key);
  event.waitUntil(owner.then(forgetOthers));
  const kind = KINDS.find((it) => it.path.test(path));
  if (!kind || event.request.cache === "no-store") return;
  const cacheName = owner.then((name) => `${OURS}${name} ${kind.name}`);
  event.respondWith(cacheName.then((name) => kind.isFinal ? kept(event, kind, name, key) : fresh(event, kind, name)));
}

// Not the key itself: names of caches are shown in the browser's tools.
async function ownerOf(key) {
  if (!key) return "open";
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${SCOPE.href} ${key}`));
  return `key-${[...new Uint8Array(digest).slice(0, 12)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function forgetOthers(owner) {
  if (owner === lastOwner) return;
  lastOwner = owner;
  await forget((name) => name.startsWith(OURS) && !name.startsWith(`${OURS}shell `) && !name.startsWith(`${OURS}${owner} `));
}

async function forget(isMeant) {
  for (const name of await caches.keys()) {
    if (!isMeant(name)) continue;
    held.delete(name);
    await caches.delete(name);
  }
}

// A picture: once seen, never asked for again. The browser's own cache knows no keys, so it is left out where there is one.
async function kept(event, kind, cacheName, key) {
  const { request } = event;
  const known = await (await caches.open(cacheName)).match(request.url);
  if (known) return known;
  const response = await fetch(key ? new Request(request, { cache: "no-store" }) : request);
  if (response.status === 200) event.waitUntil(keep(kind, cacheName, request.url, response.clone()));
  return response;
}

// An answer that changes: the server's, else the last one.
async function fresh(event, kind, cacheName) {
  const { url } = event.request;
  const response = await fromServer(event, cacheName, url);
  if (response.isLoadedBefore) return response;
  if (response.status === 200) event.waitUntil(keep(kind, cacheName, url, response.clone()));
  if (response.status === 401) event.waitUntil(forget((name) => name.startsWith(cacheName.slice(0, -kind.name.length))));
  const gone = response.status === 404 && IMAGE.exec(pathOf(url));
  if (gone) event.waitUntil(forgetImage(gone[1]));
  return response;
}

async function fromServer(event, cacheName, url) {
  let response = null;
  try {
    response = await fetch(event.request);
    if (!UNREACHED.includes(response.status)) return response;
  } catch (error) {
    if (event.request.signal.aborted) throw error;
  }
  const known = await (await caches.open(cacheName)).match(url);
  if (!known) return response ?? Response.error();
  event.waitUntil(tell(event.resultingClientId || event.clientId));
  known.isLoadedBefore = true;
  return known;
}

const told = new Set();

async function tell(clientId) {
  told.add(clientId);
  (await self.clients.get(clientId))?.postMessage("loaded-before");
}

// A page listens only some time after it was loaded: then it says so.
self.addEventListener("message", ({ source }) => { if (told.has(source.id)) source.postMessage("loaded-before"); });

function keep(kind, cacheName, url, response) {
  keeping = keeping.then(() => keepNow(kind, cacheName, url, response)).catch((error) => {
    // Without room nothing more can be kept, and all that was can be loaded again.
    if (error.name !== "QuotaExceededError") throw error;
    return forget((name) => name === cacheName);
  });
  return keeping;
}

async function keepNow(kind, cacheName, url, response) {
  const body = await response.blob();
  const headers = { "Content-Type": response.headers.get("Content-Type") ?? "", "Content-Length": String(body.size) };
  const cache = await caches.open(cacheName);
  const sizes = await sizesOf(cacheName, cache);
  await cache.put(url, new Response(body, { headers }));
  sizes.delete(url);
  sizes.set(url, body.size);
  let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  for (const [oldest, size] of sizes) {
    if (sizes.size <= kind.entries && total <= kind.bytes) break;
    sizes.delete(oldest);
    total -= size;
    await cache.delete(oldest);
  }
}

// Read once in the life of this worker: the browser ends it whenever there is nothing to do.
async function sizesOf(cacheName, cache) {
  if (!held.has(cacheName)) {
    const sizes = new Map();
    for (const request of await cache.keys()) {
      sizes.set(request.url, Number((await cache.match(request))?.headers.get("Content-Length")));
    }
    held.set(cacheName, sizes);
  }
  return held.get(cacheName);
}

// What a request deletes, if that is what it does: a promise of ids.
function deletedBy(request, path) {
  const one = IMAGE.exec(path);
  if (request.method === "DELETE" && one) return Promise.resolve([one[1]]);
  if (request.method !== "POST" || path !== "api/images/delete") return null;
  return request.clone().json().then(({ ids }) => ids, () => []); // what cannot be read deletes nothing
}

async function forgetImage(id) {
  const addresses = [`api/get_image/${id}`, `api/image/${id}/thumbnail`, `api/image/${id}/metadata`].map(address);
  for (const name of await caches.keys()) {
    if (!name.startsWith(OURS) || name === SHELL_CACHE) continue;
    const cache = await caches.open(name);
    for (const url of addresses) if (await cache.delete(url)) held.get(name)?.delete(url);
  }
}
