// What nobody needs to begin with is loaded once the page stands, or as soon as it is asked for: the viewer with its style
// and list of keys, what tells of the work elsewhere, and what keeps the page for offline.
import { address } from "./api.js";
import { element } from "./dom.js";
import { toast } from "./toast.js";

const IDLE = 3000; // ms after which it is loaded although the page is still busy
let loaded = null;
let parts = null;

// `theParts` is what the viewer works with: { gallery, bar }.
export function startLater(theParts) {
  parts = theParts;
  const idle = window.requestIdleCallback ?? ((run) => setTimeout(run, 200));
  if (new URLSearchParams(location.search).has("image")) load().catch(() => {});
  window.addEventListener("load", () => idle(async () => {
    await load().catch(() => {}); // the next click tries again, and says so
    const [{ startAttention }, { startOffline }] = await Promise.all([import("./attention.js"), import("./offline.js")]);
    startAttention();
    startOffline();
  }, { timeout: IDLE }), { once: true });
}

function load() {
  loaded ??= Promise.all([import("./viewer.js"), import("./keys-help.js"), style("viewer.css")]).then(([viewer, keys]) => {
    viewer.startViewer(parts);
    return { ...viewer, ...keys };
  }).catch((error) => {
    loaded = null;
    throw error;
  });
  return loaded;
}

function style(name) {
  const link = element("link", { rel: "stylesheet", href: address(`static/${name}`) });
  return new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => { link.remove(); reject(new Error(name)); });
    document.head.append(link);
  });
}

async function use(action) {
  let viewer;
  try {
    viewer = await load();
  } catch {
    toast("The server cannot be reached.");
    return;
  }
  action(viewer);
}

export const openImage = (id) => use((viewer) => viewer.openImage(id));
export const comparePictures = (one, other) => use((viewer) => viewer.comparePictures(one, other));
export const showKeys = () => use((viewer) => viewer.showKeys());
