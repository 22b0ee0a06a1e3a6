// What can be done with the picture that is open.
import * as api from "./api.js";
import { byId, element, icon, show } from "./dom.js";
import { hasKey } from "./key.js";
import { toast } from "./toast.js";
import { blobOf } from "./viewer-pictures.js";

export const VARIATIONS = 4;
const LABELS = 16;

// `viewer` offers current(), change(image) and close({ toBar }); what fails is said, and nothing else happens.
export function startActions({ gallery, bar, viewer }) {
  const { current } = viewer;
  const on = (id, act) => byId(id).addEventListener("click", (event) => attempt(() => act(event)));

  const actions = {
    use(part) {
      const picture = current();
      viewer.close({ toBar: true });
      bar.fill(picture, { parts: part });
    },
    async vary() {
      const whole = await api.metadata(current().id); // the gallery knows less than a request needs
      if (!(await bar.submit(variation(whole)))) return viewer.close({ toBar: true }); // which says why
      return toast(`${VARIATIONS} variations are on their way.`, { label: "Show", run: () => viewer.close() });
    },
    async favourite() {
      const image = current();
      const isFavourite = !image.favourite;
      viewer.change({ ...image, favourite: isFavourite }); // at once; taken back if it cannot be
      try {
        await api.setFavourite(image.id, isFavourite);
      } catch (error) {
        viewer.change(image);
        throw error;
      }
    },
    async label(labels) {
      const image = current();
      await api.setLabels(image.id, labels);
      viewer.change({ ...image, labels });
    },
    async remove() {
      const { id } = current();
      await viewer.leave(id);
      gallery.remove([id]);
    },
    download: () => byId("viewer-download").click(),
    editLabels: () => byId("viewer-label").focus(),
  };

  byId("viewer-use").addEventListener("click", ({ target }) => { if (target.value) actions.use(target.value); });
  on("viewer-vary", ({ detail }) => (detail > 1 ? undefined : actions.vary())); // a double click makes one job
  on("viewer-favourite", actions.favourite);
  on("viewer-delete", actions.remove);
  on("viewer-download", (event) => download(event, current()));
  on("viewer-copy-picture", () => copyPicture(current()));
  on("viewer-copy-link", async () => { await copyText(linkTo(current().id)); toast("The link is copied."); });
  on("viewer-copy-prompt", async () => { await copyText(current().prompt); toast("The prompt is copied."); });
  on("viewer-share", () => share(current()));
  byId("viewer-copy-picture").hidden = !(navigator.clipboard && window.ClipboardItem); // only with https, or on this machine
  byId("viewer-share").hidden = !navigator.share;
  byId("viewer-download").append(icon("download"), element("span", { textContent: "Download" }));
  startLabels(actions, current);
  return Object.fromEntries(Object.entries(actions).map(([name, act]) => [name, (...given) => attempt(() => act(...given))]));
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    toast(error.message);
  }
}

// The same words, settings and pictures to begin from, with seeds that are drawn anew: one job.
function variation({ model_id, prompt, negative_prompt, requested_negative_prompt, settings, inputs = {} }) {
  const { seed, ...same } = settings;
  const known = Object.fromEntries(Object.entries(same).filter(([, value]) => value !== null));
  const pictures = Object.fromEntries(Object.entries(inputs).map(([field, sha256]) => [field, `in_${sha256}`]));
  const leftOut = requested_negative_prompt ?? negative_prompt;
  return { model_id, prompt, ...(leftOut && { negative_prompt: leftOut }), ...pictures, settings: { ...known, num_images: VARIATIONS } };
}

export function linkTo(id) {
  const address = new URL(api.address(""));
  address.searchParams.set("image", id);
  return address.href;
}

export const fileName = ({ id }) => `${id}.png`;

async function download(event, image) {
  if (!hasKey() || event.currentTarget?.href.startsWith("blob:")) return; // the browser does it by itself
  event.preventDefault();
  const place = URL.createObjectURL(await blobOf(image.id));
  element("a", { href: place, download: fileName(image) }).click();
  setTimeout(() => URL.revokeObjectURL(place), 60_000); // the browser has read it by then
}

async function copyPicture({ id }) {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blobOf(id) })]);
  } catch (error) {
    throw error.name === "NotAllowedError" ? new Error("The browser did not allow copying.") : error;
  }
  toast("The picture is copied.");
}

async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text).catch(() => { throw new Error("The browser did not allow copying."); });
    return;
  }
  // Over plain http from another machine there is no clipboard but the one of selected text.
  const field = element("textarea", { value: text, className: "visually-hidden" });
  byId("viewer").append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error(`The browser did not allow copying. It is: ${text}`);
}

// The picture itself, where the system takes one: the link leads to a server that others may not reach.
async function share(image) {
  const files = [new File([await blobOf(image.id)], fileName(image), { type: "image/png" })];
  const picture = { files, text: image.prompt };
  try {
    await navigator.share(navigator.canShare?.(picture) ? picture : { text: image.prompt, url: linkTo(image.id) });
  } catch (error) {
    if (error.name !== "AbortError") throw error; // somebody thought better of it
  }
}

function startLabels(actions, current) {
  let isListed = false;
  byId("viewer-label").addEventListener("focus", async () => {
    if (isListed) return;
    isListed = true;
    const known = await api.labels().catch(() => ({ labels: [] })); // only a help for typing
    byId("viewer-labels-known").replaceChildren(...known.labels.map(({ label }) => element("option", { value: label })));
  });
  byId("viewer-label-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const labels = current().labels ?? [];
    const label = byId("viewer-label").value.trim();
    show(byId("viewer-label-error"), labels.length >= LABELS ? `A picture has at most ${LABELS} labels.` : "");
    if (!label || labels.includes(label) || labels.length >= LABELS) return;
    try {
      await actions.label([...labels, label]);
      byId("viewer-label").value = "";
    } catch (error) {
      show(byId("viewer-label-error"), error.message);
    }
  });
  byId("viewer-labels").addEventListener("click", ({ target }) => {
    const chip = target.closest("button[value]");
    if (!chip) return;
    attempt(() => actions.label(current().labels.filter((label) => label !== chip.value)));
    byId("viewer-label").focus();
  });
}
