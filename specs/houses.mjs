// Houses that were sold, all of them made up: area, rooms, year, town, garden, price, and whether they were sold within
// a month, as those below 320,000 were. Prices follow a formula with a random part, whose standard deviation is 8%,
// so that the best guess is off by about 6% of the price on average. Writes specs/data/houses.csv, for a page that
// says `csv("data/houses.csv", target = "price", label = "soon")`:
//
//   node specs/houses.mjs [ROWS] [FILE]
//
// The rows are drawn from a seed that does not change (mulberry32, a generator of 32 bits by Tommy Ettinger), so that
// they are the same everywhere.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const TOWNS = [
  { town: "Aldby", price: 2100 },
  { town: "Brekke", price: 3400 },
  { town: "Corran", price: 2600 },
  { town: "Dunmore", price: 4800 },
];

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** One house: its columns, the last two of which are to be predicted. */
function house(draw) {
  const normal = () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  const { town, price } = TOWNS[Math.floor(draw() * TOWNS.length)];
  const area = Math.round(50 + 150 * draw());
  const rooms = Math.max(1, Math.round(area / 28 + normal()));
  const year = Math.round(1900 + 125 * draw());
  const garden = draw() < 0.5 ? "yes" : "no";
  const age = 1 - 0.3 * Math.sin((Math.PI * (2025 - year)) / 125);
  const fair = price * area * age * (garden === "yes" ? 1.12 : 1) * (rooms * 32 < area ? 0.9 : 1);
  const asked = fair * Math.exp(0.08 * normal());
  return [area, rooms, year, town, garden, Math.round(asked), asked < 320_000 ? "yes" : "no"];
}

const [rows = "4000", file = fileURLToPath(new URL("./data/houses.csv", import.meta.url))] = process.argv.slice(2);
const count = Number(rows);
if (!Number.isInteger(count) || count < 1 || count > 1_000_000) {
  console.error("usage: node specs/houses.mjs [ROWS, up to 1000000] [FILE]");
  process.exit(2);
}
const draw = generator(1);
const lines = Array.from({ length: count }, () => house(draw).join(","));
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${["area,rooms,year,town,garden,price,soon", ...lines].join("\n")}\n`);
console.log(`${file}: ${count} houses`);
