/** What `Math` lacks, as JavaScript text that stands before the kernels: bit casts and erf. */
export const helpers = `const convert = new DataView(new ArrayBuffer(4));
const bits_f32 = (x) => (convert.setUint32(0, x), convert.getFloat32(0));
const bits_u32 = (x) => (convert.setFloat32(0, x), convert.getUint32(0));
// erf by its series for small arguments and Lentz's continued fraction of erfc beyond: to 1e-13.
const erf = (x) => {
  const y = Math.abs(x);
  if (y > 6) return Math.sign(x);
  if (y < 2.5) {
    let term = y, sum = y;
    for (let n = 1; n < 60; n++) {
      term *= (-y * y) / n;
      const next = sum + term / (2 * n + 1);
      if (next === sum) break;
      sum = next;
    }
    return Math.sign(x) * sum * ${2 / Math.sqrt(Math.PI)};
  }
  let f = 0;
  for (let n = 40; n >= 1; n--) f = n / 2 / (y + f);
  return Math.sign(x) * (1 - Math.exp(-y * y) / ((y + f) * ${Math.sqrt(Math.PI)}));
};`;

/**
 * `tiles` of the kernel IR, as it stands there: 32 rows by 32 columns, where a word of a panel holds the values of two
 * steps, and a block has 512 words of each panel.
 */
export const MULTIPLY_TILES = `\
const multiply_tiles = (to, at, line, a, atA, b, atB, blocks, adds) => {
  for (let r = 0; r < 32; r++)
    for (let c = 0; c < 32; c++) {
      let sum = adds ? to[at + line * r + c] : 0;
      for (let pair = 0; pair < 16 * blocks; pair++) {
        const block = 512 * (pair >> 4);
        const x = a[atA + block + 256 * (r >> 4) + 16 * (r & 15) + (pair & 15)];
        const y = b[atB + block + 256 * (c >> 4) + 16 * (pair & 15) + (c & 15)];
        sum += bits_f32(x << 16) * bits_f32(y << 16) + bits_f32(x & 0xffff0000) * bits_f32(y & 0xffff0000);
      }
      to[at + line * r + c] = sum;
    }
};`;
