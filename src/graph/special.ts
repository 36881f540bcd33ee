/**
 * erf to f64 accuracy, for the evaluator: the rational approximations of W. J. Cody, Rational Chebyshev approximations
 * for the error function, Math. Comp. 23 (1969), with the coefficients of his CALERF.
 */

const A = [3.1611237438705656, 113.864154151050156, 377.485237685302021, 3209.37758913846947, 0.185777706184603153];
const B = [23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062];
const C = [
  0.564188496988670089, 8.88314979438837594, 66.1191906371416295, 298.635138197400131, 881.95222124176909,
  1712.04761263407058, 2051.07837782607147, 1230.33935479799725, 2.15311535474403846e-8,
];
const D = [
  15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019, 3290.79923573345963,
  4362.61909014324716, 3439.36767414372164, 1230.33935480374942,
];
const P = [
  0.305326634961232344, 0.360344899949804439, 0.125781726111229246, 0.0160837851487422766, 6.58749161529837803e-4,
  0.0163153871373020978,
];
const Q = [
  2.56852019228982242, 1.87295284992346047, 0.527905102951428412, 0.0605183413124413191, 0.00233520497626869185,
];
const INVERSE_SQRT_PI = 0.5641895835477562869;

/**
 * The quotient of two polynomials of z as CALERF evaluates it: the numerator's coefficients in order of falling powers
 * but for the highest, which stands last; the denominator's without the highest, which is 1.
 */
function rational(z: number, numerator: readonly number[], denominator: readonly number[]): number {
  let top = numerator[numerator.length - 1]! * z;
  let bottom = z;
  const turns = denominator.length - 1;
  for (let i = 0; i < turns; i++) {
    top = (top + numerator[i]!) * z;
    bottom = (bottom + denominator[i]!) * z;
  }
  return (top + numerator[turns]!) / (bottom + denominator[turns]!);
}

/** 1 - erf(y) for y > 0.46875. */
function complement(y: number): number {
  const z = 1 / (y * y);
  const ratio = y <= 4 ? rational(y, C, D) : (INVERSE_SQRT_PI - z * rational(z, P, Q)) / y;
  // exp(-y^2) in two factors, so that the rounding of y^2 does not spoil it.
  const head = Math.trunc(y * 16) / 16;
  return Math.exp(-head * head) * Math.exp(-(y - head) * (y + head)) * ratio;
}

/** The error function, absolute error below 1e-15. */
export function erf(x: number): number {
  const y = Math.abs(x);
  if (y <= 0.46875) return x * rational(y * y, A, B);
  if (y > 6) return Math.sign(x);
  return Math.sign(x) * (1 - complement(y));
}
