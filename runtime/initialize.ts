/**
 * Initial values of parameters, made on the host in f64 and rounded to f32: the same on every device. Value i of a
 * parameter comes from Threefry with key (seed, hash of the name) and counter (0, i), so it depends on nothing else of
 * the model. Normal numbers by Box and Muller.
 */
import type { ParameterInfo } from "./plan.js";
import { drawWords, siteHash, unit } from "./threefry.js";

/** The values of one parameter, row-major. */
export function initialValues(info: ParameterInfo, seed: number): Float32Array {
  const values = new Float32Array(info.shape.reduce((product, n) => product * n, 1));
  drawInto(values, info, seed, 0, values.length);
  return values;
}

/**
 * Draws the values `from` to `to` of a parameter; a large one is drawn piece by piece, so that drawing can be broken
 * off.
 */
export function drawInto(
  values: Float32Array,
  { name, shape, start }: ParameterInfo,
  seed: number,
  from: number,
  to: number,
): void {
  const last = shape[shape.length - 1] ?? 1;
  const words = new Uint32Array(2);
  const key = seed | 0;
  const site = siteHash(name) | 0;
  const draw = (i: number, stream: number): number => {
    drawWords(words, key, site, stream, i);
    return unit(words[0] as number, words[1] as number);
  };
  for (let i = from; i < to; i++) values[i] = value(i);

  function value(i: number): number {
    switch (start.kind) {
      case "constant":
        return start.value;
      case "uniform":
        return start.from + (start.to - start.from) * draw(i, 0);
      case "normal":
        return start.deviation * Math.sqrt(-2 * Math.log(1 - draw(i, 0))) * Math.cos(2 * Math.PI * draw(i, 1));
      case "first":
        return i % last === 0 ? start.value : 0;
      case "identity": {
        const square = shape.length >= 2 && shape[shape.length - 2] === last;
        const n = square ? last : Math.round(Math.sqrt(last));
        const at = square ? i % (n * n) : i % last;
        return Math.floor(at / n) === at % n ? start.value : 0;
      }
      case "ramp":
        return last === 1 ? start.center : start.center + start.spread * ((2 * (i % last)) / (last - 1) - 1);
      default:
        return start satisfies never;
    }
  }
}
