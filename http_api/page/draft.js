// What was typed, kept over reloads and restarts and shown in other tabs; and the prompts of before.
import { byId, memory } from "./dom.js";

const DRAFT = "cyberimage.draft";
const PROMPTS = "cyberimage.prompts";
const KEPT = 100; // prompts
let place = -1; // in the prompts of before; -1: what is being typed
let typed = ""; // what was being typed before arrow-up was pressed
let timer = 0;

export const storedDraft = () => memory.readJson(DRAFT, {});

// `read()` gives what the bar holds; `apply(draft)` shows what another tab typed.
export function keepDraft(read, apply) {
  const save = () => { clearTimeout(timer); timer = 0; memory.write(DRAFT, JSON.stringify(read())); };
  const saveSoon = () => { clearTimeout(timer); timer = setTimeout(save, 150); };
  byId("form").addEventListener("input", saveSoon);
  byId("form").addEventListener("change", saveSoon);
  window.addEventListener("pagehide", () => { if (timer) save(); });
  window.addEventListener("storage", (event) => {
    if (event.key === DRAFT && event.newValue && !document.hasFocus()) apply(storedDraft());
  });
  return saveSoon;
}

export function rememberPrompt(prompt) {
  const words = prompt.trim();
  if (!words) return;
  const others = memory.readJson(PROMPTS, []).filter((other) => other !== words);
  memory.write(PROMPTS, JSON.stringify([words, ...others].slice(0, KEPT)));
  place = -1;
}

// Arrow-up at the beginning of the prompt shows the one before, arrow-down at its end the one after.
export function startPrompts(setPrompt) {
  const prompt = byId("prompt");
  prompt.addEventListener("input", () => { place = -1; });
  prompt.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing) return;
    const { selectionStart: start, selectionEnd: end, value } = prompt;
    if (event.key === "ArrowUp" && start === 0 && end === 0) go(event, place + 1, setPrompt, 0);
    else if (event.key === "ArrowUp" && place >= 0 && end === value.length) go(event, place + 1, setPrompt, 0);
    else if (event.key === "ArrowDown" && place >= 0 && (end === value.length || end === 0)) go(event, place - 1, setPrompt, -1);
  });
}

function go(event, wanted, setPrompt, caret) {
  if (place === -1) typed = byId("prompt").value;
  const words = memory.readJson(PROMPTS, []).filter((other) => other !== typed.trim());
  if (wanted >= words.length || wanted < -1) return;
  event.preventDefault();
  setPrompt(wanted === -1 ? typed : words[wanted]);
  place = wanted; // setPrompt is no typing, and keeps the place
  const at = caret === 0 ? 0 : byId("prompt").value.length;
  byId("prompt").setSelectionRange(at, at);
}
