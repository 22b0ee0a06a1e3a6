// The keys of the page: [keys, meaning], in the order in which they are listed; keys pressed together stand beside each other.
export const KEYS = [
  ["Ctrl Enter", "Make, while writing the prompt"],
  ["↑ ↓", "At the beginning of the prompt: the prompts of before"],
  ["N", "To the prompt"],
  ["/", "Search"],
  ["← → ↑ ↓", "From picture to picture"],
  ["Enter", "Open the picture"],
  ["X", "Choose the picture; with Shift and an arrow, several"],
  ["Ctrl A", "Choose all that are listed"],
  ["F", "Favourite, or not"],
  ["Del", "Delete what is chosen"],
  ["Esc", "Choose none; close what is open"],
];
