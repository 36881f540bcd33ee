/**
 * Products of bf16 in C: a block of 32 rows by 32 columns over packed panels (`tiles` of `src/kernel/ir.ts`), on what
 * the processor has for it. That is AMX, for which a program asks Linux once, AVX512-BF16, or Arm's BFDOT; elsewhere
 * the values are widened and multiplied in f32. Sums are of f32 everywhere; they are rounded, and denormals treated, as
 * the unit does it, so that results are equal bit by bit on one kind of processor only.
 */

/** The name of the function, and the stem of those that open and close its use. */
export const TILES = "tiles_bf16";
/** The name of what says whether the unit may be used. */
export const TILE_UNIT = "unit_";

/** Tiles 0 to 3 are sums, 4 and 5 rows of a, 6 and 7 columns of b. */
const AMX = String.raw`/* Whether the system lets this process use tiles: 0 while it has not been asked, then 1 or 2. */
static int ${TILES}_allowed;

INLINE bool ${TILES}_begin(void) {
  static const struct { uint8_t head[16]; uint16_t bytes[16]; uint8_t rows[16]; } shape = {
    {1}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16},
  };
  int allowed = __atomic_load_n(&${TILES}_allowed, __ATOMIC_RELAXED);
  if (allowed == 0) {
    /* arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) */
    long refused;
    __asm__ volatile("syscall" : "=a"(refused) : "a"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
    allowed = refused ? 2 : 1;
    __atomic_store_n(&${TILES}_allowed, allowed, __ATOMIC_RELAXED);
  }
  if (allowed == 2) return false;
  __asm__ volatile("ldtilecfg %0" : : "m"(shape));
  return true;
}

INLINE void ${TILES}_end(bool unit) {
  if (unit) __asm__ volatile("tilerelease");
}

INLINE void ${TILES}_unit(
    bool adds, float *to, ptrdiff_t line, const uint32_t *a, const uint32_t *b, ptrdiff_t blocks) {
  const ptrdiff_t row = 64, step = 4 * line;
  float *const lower = to + 16 * line;
  if (adds)
    __asm__ volatile(
      "tileloadd (%0,%4,1), %%tmm0\n\ttileloadd (%1,%4,1), %%tmm1\n\t"
      "tileloadd (%2,%4,1), %%tmm2\n\ttileloadd (%3,%4,1), %%tmm3"
      : : "r"(to), "r"(to + 16), "r"(lower), "r"(lower + 16), "r"(step) : "memory");
  else __asm__ volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3");
  for (ptrdiff_t i = 0; i < blocks; i++, a += 512, b += 512)
    __asm__ volatile(
      "tileloadd (%0,%4,1), %%tmm4\n\ttileloadd (%2,%4,1), %%tmm6\n\ttdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
      "tileloadd (%3,%4,1), %%tmm7\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
      "tileloadd (%1,%4,1), %%tmm5\n\ttdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3"
      : : "r"(a), "r"(a + 256), "r"(b), "r"(b + 256), "r"(row) : "memory");
  __asm__ volatile(
    "tilestored %%tmm0, (%0,%4,1)\n\ttilestored %%tmm1, (%1,%4,1)\n\t"
    "tilestored %%tmm2, (%2,%4,1)\n\ttilestored %%tmm3, (%3,%4,1)"
    : : "r"(to), "r"(to + 16), "r"(lower), "r"(lower + 16), "r"(step) : "memory");
}`;

/** One place for all of a product's sums: rows `r` to `r + ROWS`, and the 16 columns of a square of b. */
const SQUARES = String.raw`INLINE void ${TILES}_squares(
    bool adds, float *to, ptrdiff_t line, const uint32_t *a, const uint32_t *b, ptrdiff_t blocks) {
  for (int r = 0; r < 32; r += TILE_ROWS)
    for (int c = 0; c < 32; c += 16) {
      tile_sum sums[TILE_ROWS][TILE_VECTORS];
      memset(sums, 0, sizeof sums);
      if (adds) for (int j = 0; j < TILE_ROWS; j++) memcpy(sums[j], to + (r + j) * line + c, 64);
      for (ptrdiff_t i = 0; i < blocks; i++)
        for (int pair = 0; pair < 16; pair++)
          tile_step(sums, a + 512 * i + 16 * r + pair, b + 512 * i + 16 * c + 16 * pair);
      for (int j = 0; j < TILE_ROWS; j++) memcpy(to + (r + j) * line + c, sums[j], 64);
    }
}`;

/** Steps of two along k for 16 columns: the words of a's rows are 16 apart. */
const STEPS = String.raw`#if defined(__AVX512BF16__)
#define TILE_ROWS 16
#define TILE_VECTORS 1
typedef float tile_sum __attribute__((vector_size(64)));
INLINE void tile_step(tile_sum (*sums)[1], const uint32_t *a, const uint32_t *b) {
  tile_sum columns;
  memcpy(&columns, b, 64);
  #pragma GCC unroll 16
  for (int r = 0; r < 16; r++)
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sums[r][0]) : "v"(columns), "m"(a[16 * r]));
}
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#define TILE_ROWS 4
#define TILE_VECTORS 4
typedef float32x4_t tile_sum;
INLINE void tile_step(tile_sum (*sums)[4], const uint32_t *a, const uint32_t *b) {
  for (int c = 0; c < 4; c++) {
    const bfloat16x8_t columns = vreinterpretq_bf16_u32(vld1q_u32(b + 4 * c));
    for (int r = 0; r < 4; r++)
      sums[r][c] = vbfdotq_f32(sums[r][c], vreinterpretq_bf16_u32(vdupq_n_u32(a[16 * r])), columns);
  }
}
#else
#define TILE_ROWS 4
#define TILE_VECTORS 2
typedef float tile_sum __attribute__((vector_size(32)));
typedef uint32_t tile_words __attribute__((vector_size(32)));
INLINE void tile_step(tile_sum (*sums)[2], const uint32_t *a, const uint32_t *b) {
  for (int c = 0; c < 2; c++) {
    tile_words columns;
    memcpy(&columns, b + 8 * c, 32);
    const tile_sum early = (tile_sum)(columns << 16), late = (tile_sum)(columns & 0xffff0000u);
    #pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
      sums[r][c] += bits_f32(a[16 * r] << 16) * early + bits_f32(a[16 * r] & 0xffff0000u) * late;
  }
}
#endif`;

/** The functions, for kernels that have such products. */
export const TILES_TEXT = `${STEPS}

${SQUARES}

#if defined(__AMX_BF16__) && defined(__linux__)
${AMX}
#else
INLINE bool ${TILES}_begin(void) { return false; }
INLINE void ${TILES}_end(bool unit) { (void)unit; }
#define ${TILES}_unit ${TILES}_squares
#endif

INLINE void ${TILES}(
    bool unit, bool adds, float *to, ptrdiff_t line, const uint32_t *a, const uint32_t *b, ptrdiff_t blocks) {
  if (unit) ${TILES}_unit(adds, to, line, a, b, blocks);
  else ${TILES}_squares(adds, to, line, a, b, blocks);
}`;
