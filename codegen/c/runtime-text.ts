/**
 * What a model in C has besides its kernels: memory laid out once in what the caller gives, tables of dispatches that
 * are constants, and with `MHC_THREADS` the threads of `runtime/native/team.ts`. Nothing is allocated after `create`,
 * and without threads nothing at all; of libc it takes `memcpy`, `memset`, and from libm what draws initial values.
 */
import { TEAM } from "../../runtime/native/team.js";

/** Types and globals: before the tables. */
export const TYPES = `typedef void kernel(void *const *buffers, char *scratch, ptrdiff_t begin, ptrdiff_t end);

/* A kernel, how many groups it has, and how many buffers. */
typedef struct { kernel *run; int32_t groups, buffers; } kernel_info;
/* One run of a kernel on copies of its buffers, which begin at \`first\` of the places. */
typedef struct { int32_t kernel, copies, first; } dispatch;
/* A place is a pool in the two upper bits, and the words from its beginning. */
enum { STATE, WORK, INTS, OUT };
`;

/** Threads, where they are asked for. */
export const THREADS = `#ifdef MHC_THREADS
#include <pthread.h>
#include <stdatomic.h>

${TEAM}
#endif
`;

/** The functions that every model has, with MODEL for its type; behind the tables and the struct. */
export const RUNTIME = String.raw`static void *place(const MODEL *m, uint32_t at) {
  return (char *)m->pools[at >> 30] + 4 * (size_t)(at & 0x3fffffffu);
}

static void run_groups(const MODEL *m, char *scratch, const dispatch *d, int32_t copy, int32_t begin, int32_t end) {
  const kernel_info *info = &kernels[d->kernel];
  void *buffers[MOST_BUFFERS];
  for (int32_t i = 0; i < info->buffers; i++) buffers[i] = place(m, places[d->first + copy * info->buffers + i]);
  info->run(buffers, scratch, begin, end);
}

#ifdef MHC_THREADS
static void run_shared(MODEL *m, int thread, int32_t first, int32_t count) {
  char *scratch = m->scratch + (size_t)thread * SCRATCH;
  for (int32_t i = first; i < first + count; i++) {
    const dispatch *d = &dispatches[i];
    const int32_t own = kernels[d->kernel].groups;
    for (int t = 0; t < m->team.threads; t++) {
      int32_t end;
      for (;;) {
        const int32_t group = team_claim(&m->team, (thread + t) % m->team.threads, own * d->copies, &end);
        if (group >= end) break;
        run_groups(m, scratch, d, group / own, group % own, group % own + 1);
      }
    }
    team_meet(&m->team);
  }
}

static void *work(void *of) {
  const worker *w = of;
  MODEL *m = w->of;
  unsigned generation = 0;
  for (;;) {
    team_await(&m->team, generation);
    if (atomic_load(&m->team.closing)) return NULL;
    run_shared(m, w->number, m->first, m->count);
    generation = team_meet(&m->team);
  }
}
#endif

static void run(MODEL *m, int32_t first, int32_t count) {
#ifdef MHC_THREADS
  if (m->team.threads > 1) {
    m->first = first;
    m->count = count;
    team_proceed(&m->team);
    run_shared(m, 0, first, count);
    team_meet(&m->team);
    return;
  }
#endif
  for (int32_t i = first; i < first + count; i++)
    for (int32_t copy = 0; copy < dispatches[i].copies; copy++)
      run_groups(m, m->scratch, &dispatches[i], copy, 0, kernels[dispatches[i].kernel].groups);
}
`;

/** Initial values: the draws of \`runtime/threefry.ts\` and \`runtime/initialize.ts\`. */
export const INITIALIZE = String.raw`enum { CONSTANT, UNIFORM, NORMAL, FIRST, IDENTITY, RAMP };
/* How a parameter starts: its last axis, the side of a matrix on it, and after how many numbers matrices repeat. */
typedef struct { int kind; double a, b; uint32_t site, last, side, period, offset, size; } start;

static void threefry(uint32_t now, uint32_t next, uint32_t a, uint32_t b, uint32_t out[2]) {
  static const int turns[2][4] = {{17, 29, 16, 24}, {13, 15, 26, 6}};
  uint32_t last = now ^ next ^ 0x1bd11bdau;
  a += now;
  b += next;
  for (uint32_t four = 1; four <= 5; four++) {
    for (int i = 0; i < 4; i++) {
      const int by = turns[four & 1][i];
      a += b;
      b = ((b << by) | (b >> (32 - by))) ^ a;
    }
    const uint32_t first = now;
    now = next;
    next = last;
    last = first;
    a += now;
    b += next + four;
  }
  out[0] = a;
  out[1] = b;
}

/* A number in [0, 1) of 53 bits. */
static double draw(uint32_t seed, uint32_t site, uint32_t stream, uint32_t i) {
  uint32_t words[2];
  threefry(seed, site, stream, i, words);
  return ((words[0] >> 5) * 67108864.0 + (words[1] >> 6)) / 9007199254740992.0;
}

static double initial(const start *s, uint32_t seed, uint32_t i) {
  const uint32_t last = s->last;
  switch (s->kind) {
    case CONSTANT: return s->a;
    case UNIFORM: return s->a + (s->b - s->a) * draw(seed, s->site, 0, i);
    case NORMAL:
      return s->a * sqrt(-2 * log(1 - draw(seed, s->site, 0, i))) * cos(6.283185307179586 * draw(seed, s->site, 1, i));
    case FIRST: return i % last == 0 ? s->a : 0;
    case IDENTITY: {
      const uint32_t at = i % s->period;
      return at / s->side == at % s->side ? s->a : 0;
    }
    default: return last == 1 ? s->a : s->a + s->b * (2.0 * (i % last) / (last - 1) - 1);
  }
}
`;
