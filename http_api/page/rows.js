// Justified rows: tiles of one height beside each other, over the whole width, each in its true proportions.
export const GAP = 12; // px between jobs, and between rows
const CLOSE = 3; // px between the pictures of one job

const gapBetween = (one, other) => (one.group === other.group ? CLOSE : GAP);

function heightOf(row, width) {
  let free = width;
  let ratios = 0;
  row.forEach((entry, place) => {
    ratios += entry.ratio;
    if (place) free -= gapBetween(row[place - 1], entry);
  });
  return free / ratios;
}

// Rows as near to the wanted height as they come; the last one may lack entries.
function broken(entries, width, wanted) {
  const rows = [];
  let row = [];
  for (const entry of entries) {
    const before = row.length ? heightOf(row, width) : Infinity;
    const after = heightOf([...row, entry], width);
    if (after >= wanted) {
      row.push(entry);
    } else if (row.length && before / wanted < wanted / after) {
      rows.push(row);
      row = [entry];
    } else {
      rows.push([...row, entry]);
      row = [];
    }
  }
  return { rows, rest: row };
}

// Where each entry lies: { entry, x, y, w, h, first, last }, in the order of the entries, and the height of all. The fresh
// entries are filled in from the oldest on, so that a new one at their head moves only what is in the first row.
export function arrange({ fresh, base }, { width, wanted, isWhole }) {
  const head = broken([...fresh].reverse(), width, wanted);
  const tail = broken(base, width, wanted);
  const rows = head.rows.map((row) => [...row].reverse()).reverse();
  if (head.rest.length) rows.unshift([...head.rest].reverse());
  rows.push(...tail.rows);
  const isCut = tail.rest.length > 0;
  if (isCut && isWhole) rows.push(tail.rest);
  const tiles = [];
  let y = 0;
  for (const row of rows) {
    const isLoose = row === rows[0] && head.rest.length > 0 || row === tail.rest;
    const full = heightOf(row, width);
    const h = isLoose ? Math.min(wanted, full) : full;
    let x = 0;
    row.forEach((entry, place) => {
      const next = row[place + 1];
      const w = entry.ratio * h;
      const right = !next && !isLoose ? width : x + w;
      tiles.push({
        entry, x: Math.round(x), y: Math.round(y), w: Math.round(right) - Math.round(x), h: Math.round(h),
        first: place === 0 || row[place - 1].group !== entry.group, last: !next || next.group !== entry.group,
      });
      x += w + (next ? gapBetween(entry, next) : 0);
    });
    y += Math.round(h) + GAP;
  }
  return { tiles, height: Math.max(0, y - GAP) };
}

export function wantedHeight(width) {
  if (width < 480) return Math.max(120, width / 2.3);
  return Math.min(320, 150 + width / 16);
}
