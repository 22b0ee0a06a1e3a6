// One tile of the gallery: a picture, or one that is still to come, or one that did not. It stays the same element all along.
import { previewAddress, thumbnailAddress } from "./api.js";
import { element, iconButton, seconds, write } from "./dom.js";
import { may } from "./key.js";
import { showFetched, showLazily } from "./picture.js";
import { isFailed } from "./pictures.js";
import { state } from "./state.js";

const parts = new WeakMap(); // tile: its parts

export function makeTile(entry) {
  const tile = element("li", { className: "tile" });
  tile.dataset.key = entry.key;
  parts.set(tile, { kind: "" });
  return tile;
}

export function drawTile(tile, entry, isChosen) {
  const kind = entry.image ? "picture" : isFailed(entry.group) ? "failed" : "coming";
  let its = parts.get(tile);
  if (its.kind !== kind || its.group !== entry.group.id) {
    if (its.kind !== kind) its = kinds[kind].make(tile, entry, its);
    Object.assign(its, { kind, group: entry.group.id });
    parts.set(tile, its);
    tile.classList.remove("coming", "failed", "running", "has-preview");
    tile.classList.toggle(kind, true);
  }
  kinds[kind].draw(its, entry, tile, isChosen);
}

const promptOf = ({ group, image }) => image?.prompt ?? group.status?.prompt ?? group.request?.prompt ?? "";

function button(className, label, text = label) {
  const made = element("button", { type: "button", className, textContent: text });
  made.setAttribute("aria-label", label);
  return made;
}

const kinds = {
  picture: {
    make(tile, { image }, before) {
      const picture = element("img", { className: "picture", alt: "", loading: "lazy", decoding: "async" });
      picture.addEventListener("load", () => {
        picture.classList.add("is-there");
        setTimeout(() => before.preview?.remove(), 250);
      });
      const open = button("open", "", "");
      const words = element("span", { dir: "auto" });
      const chosen = element("input", { type: "checkbox", className: "chosen" });
      const heart = iconButton("heart", "Favourite", "heart");
      heart.tabIndex = -1; // the key F does it, and the bar of the chosen ones
      heart.hidden = !may("submit");
      const had = tile.contains(document.activeElement);
      tile.replaceChildren(...(before.preview ? [before.preview] : []), picture, open, element("p", { className: "words" }, words), chosen, heart);
      if (had) open.focus();
      showLazily(picture, thumbnailAddress(image.id));
      return { open, words, chosen, heart };
    },
    draw(its, { image }, tile, isChosen) {
      tile.dataset.image = image.id;
      write(its.words, image.prompt);
      its.open.setAttribute("aria-label", `Open: ${image.prompt}`);
      its.chosen.setAttribute("aria-label", `Choose: ${image.prompt}`);
      its.chosen.checked = isChosen;
      its.heart.setAttribute("aria-pressed", String(Boolean(image.favourite)));
    },
  },

  coming: {
    make(tile, entry) {
      const text = element("p");
      const words = element("p", { className: "soft", dir: "auto" });
      const preview = element("img", { className: "preview", alt: "", hidden: true });
      const bar = element("progress", { max: 1, value: 0 });
      bar.setAttribute("aria-label", `Progress of: ${promptOf(entry)}`);
      const stop = iconButton("close", `Cancel: ${promptOf(entry)}`, "stop");
      stop.dataset.does = "cancel";
      stop.hidden = !may("submit");
      tile.replaceChildren(preview, element("div", { className: "state" }, text, words), bar, stop);
      return { text, words, preview, bar, stop, url: "" };
    },
    draw(its, entry, tile) {
      const { group, number } = entry;
      const progress = group.status?.progress;
      const isRunning = group.status?.status === "processing";
      const isNow = isRunning && (progress.image_number || 1) === number;
      write(its.text, wordsFor(entry, isRunning, isNow));
      write(its.words, isNow || number === firstOf(entry) ? promptOf(entry) : "");
      its.bar.hidden = !isNow;
      its.bar.value = isNow && progress.total_steps ? progress.step / progress.total_steps : 0;
      tile.classList.toggle("running", isNow);
      its.stop.title = "Cancel";
      if (isNow) preview(its, group.status.preview_url, tile);
    },
  },

  failed: {
    make(tile, entry) {
      const text = element("p");
      const again = button("secondary", `Try again: ${promptOf(entry)}`, "Try again");
      const dismiss = button("quiet", `Dismiss: ${promptOf(entry)}`, "Dismiss");
      again.dataset.does = "retry";
      again.hidden = !may("submit");
      dismiss.dataset.does = "dismiss";
      tile.replaceChildren(element("div", { className: "state" }, text,
        element("p", { className: "soft", dir: "auto", textContent: promptOf(entry) }), element("div", { className: "row" }, again, dismiss)));
      return { text };
    },
    draw(its, { group }) {
      write(its.text, group.problem || group.status.message);
    },
  },
};

// The tile that says for all of its job what is going on.
function firstOf({ group }) {
  return group.status?.progress?.image_number || 1;
}

function wordsFor({ group, number }, isRunning, isNow) {
  if (!isRunning && number > 1) return "";
  if (group.request && !group.status) return group.note || "Waiting";
  if (!isRunning) return group.status?.attempts ? group.status.message : "Waiting";
  if (!isNow) return "";
  const { progress, message, eta_seconds: eta } = group.status;
  if (!progress.generating) return message;
  const hasRunner = state.runner?.state !== "none";
  return `Step ${progress.step} of ${progress.total_steps}${eta && hasRunner ? `, ${seconds(eta)} left` : ""}`;
}

async function preview(its, url, tile) {
  if (!url || its.url === url) return;
  its.url = url;
  if (!(await showFetched(its.preview, previewAddress(url)))) return;
  its.preview.hidden = false;
  tile.classList.add("has-preview");
}
