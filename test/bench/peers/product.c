/*
 * The plain kernel: a product of two matrices in the vector extension of GCC and Clang, eight rows by two vectors of 16
 * lanes in registers, a block of B's rows packed into runs of 32 columns. It is what a product of ours is held against.
 *
 *   product M K N ...    prints GFLOP/s of one thread for each triple: the median over its runs, and the best
 *
 * C [M, N] = A [M, K] B [K, N]; M is a multiple of 8, N of 32, K of 256 or less than it. Packing is part of the time.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LANES = 16, ROWS = 8, COLUMNS = 2 * LANES, DEPTH = 256, RUNS = 400 };
typedef float vector __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Eight rows by 32 columns of C, over some of the depth. */
static void tile(const float *a, long k, const vector *b, long depth, float *c, long n, int first) {
  vector sums[ROWS][2];
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < 2; j++)
      sums[i][j] = first ? (vector){0} : (vector) * (const loose *)(c + i * n + j * LANES);
  for (long p = 0; p < depth; p++) {
    const vector left = b[2 * p], right = b[2 * p + 1];
    for (int i = 0; i < ROWS; i++) {
      sums[i][0] += a[i * k + p] * left;
      sums[i][1] += a[i * k + p] * right;
    }
  }
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < 2; j++) *(loose *)(c + i * n + j * LANES) = sums[i][j];
}

static void product(const float *a, const float *b, float *c, long m, long k, long n, vector *packed) {
  for (long from = 0; from < k; from += DEPTH) {
    const long depth = k - from < DEPTH ? k - from : DEPTH;
    for (long j = 0; j < n; j += COLUMNS) {
      for (long p = 0; p < depth; p++) memcpy(packed + 2 * p, b + (from + p) * n + j, 4 * COLUMNS);
      for (long i = 0; i < m; i += ROWS) tile(a + i * k + from, k, packed, depth, c + i * n + j, n, from == 0);
    }
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *filled(long size) {
  float *values = NULL;
  if (posix_memalign((void **)&values, 64, 4 * (size_t)size)) exit(1);
  for (long i = 0; i < size; i++) values[i] = 1.0f + 0.001f * (float)(i % 7);
  return values;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int count, char **words) {
  for (int at = 1; at + 2 < count; at += 3) {
    const long m = atol(words[at]), k = atol(words[at + 1]), n = atol(words[at + 2]);
    if (m % ROWS || n % COLUMNS || (k > DEPTH && k % DEPTH)) return 2;
    float *a = filled(m * k), *b = filled(k * n), *c = filled(m * n);
    vector *packed = (vector *)filled(DEPTH * COLUMNS);
    double times[RUNS];
    int runs = 0;
    product(a, b, c, m, k, n, packed);
    for (double begun = now(); runs < RUNS && (runs < 15 || now() - begun < 0.3); runs++) {
      const double start = now();
      product(a, b, c, m, k, n, packed);
      times[runs] = now() - start;
    }
    qsort(times, (size_t)runs, sizeof *times, ascending);
    const double work = 2e-9 * (double)m * (double)k * (double)n;
    printf("%.2f %.2f %g\n", work / times[runs / 2], work / times[0], (double)c[0]);
    free(a), free(b), free(c), free(packed);
  }
  return 0;
}
