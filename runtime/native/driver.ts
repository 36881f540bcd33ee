/**
 * The C that runs a table of dispatches on threads that `mhc_open` starts (`team.ts`). The caller's thread only waits:
 * its stack is whatever a foreign-function library gives it, and kernels may want more.
 */
import { TEAM } from "./team.js";

/**
 * Words of a record of the table, of 64 bits: kernel, groups of all copies, of one copy, its arguments, their number.
 */
export const RECORD = 5;

/** The text. A run is given the functions of its kernels as `mhc_table` of their library gives them. */
export const DRIVER = String.raw`#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
${TEAM}

/* Bytes of a thread's stack: an unoptimised kernel may want a megabyte, and systems give from 128 KiB on. */
#define STACK (16 << 20)

typedef void kernel(void *const *buffers, char *scratch, ptrdiff_t begin, ptrdiff_t end);

/* The argument is the address of a copy's buffers; those of the next copy stand behind them. */
typedef struct { int64_t kernel, groups, own, arguments, buffers; } dispatch;

typedef struct session session;
typedef struct { session *of; int number; char *scratch; } worker;

struct session {
  team team;
  int started;
  kernel *const *kernels;
  const dispatch *table;
  int64_t count;
  double *times;
  int done;
  pthread_mutex_t mutex;
  pthread_cond_t ended;
  counter *counters;
  worker *workers;
  pthread_t *handles;
  char *memory;
};

static void run_groups(const session *s, const dispatch *d, char *scratch, int64_t begin, int64_t end) {
  const int64_t copy = begin / d->own;
  void *const *arguments = (void *const *)(intptr_t)d->arguments + copy * d->buffers;
  s->kernels[d->kernel](arguments, scratch, (ptrdiff_t)(begin - copy * d->own), (ptrdiff_t)(end - copy * d->own));
}

static void run_dispatch(session *s, const worker *w, const dispatch *d) {
  const int threads = s->team.threads;
  if (threads == 1) {
    for (int64_t at = 0; at < d->groups; at += d->own) run_groups(s, d, w->scratch, at, at + d->own);
    return;
  }
  for (int i = 0; i < threads; i++) {
    int32_t end;
    for (;;) {
      const int32_t group = team_claim(&s->team, (w->number + i) % threads, (int32_t)d->groups, &end);
      if (group >= end) break;
      run_groups(s, d, w->scratch, group, group + 1);
    }
  }
  team_meet(&s->team);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void run_table(session *s, const worker *w) {
  for (int64_t i = 0; i < s->count; i++) {
    const double begun = w->number == 0 && s->times ? now() : 0;
    run_dispatch(s, w, &s->table[i]);
    if (w->number == 0 && s->times) s->times[i] = now() - begun;
  }
}

/* A worker's life: a generation opens a run, in which it takes part, and all meet once more at its end. */
static void *work(void *of) {
  const worker *w = of;
  session *s = w->of;
  unsigned generation = 0;
  for (;;) {
    team_await(&s->team, generation);
    if (atomic_load(&s->team.closing)) return NULL;
    run_table(s, w);
    generation = team_meet(&s->team);
    if (w->number > 0) continue;
    pthread_mutex_lock(&s->mutex);
    s->done = 1;
    pthread_cond_signal(&s->ended);
    pthread_mutex_unlock(&s->mutex);
  }
}

EXPORT void mhc_close(void *of) {
  session *s = of;
  atomic_store(&s->team.closing, 1);
  team_proceed(&s->team);
  for (int t = 0; t < s->started; t++) pthread_join(s->handles[t], NULL);
  team_end(&s->team);
  pthread_cond_destroy(&s->ended);
  pthread_mutex_destroy(&s->mutex);
  free(s->counters);
  free(s->workers);
  free(s->handles);
  free(s->memory);
  free(s);
}

/* Bytes of a large page, where a system has them; elsewhere nothing comes of what is advised. */
#define LARGE_PAGE ((uintptr_t)2 << 20)

/*
 * Asks for large pages for the whole ones within memory that has not been written yet: a step walks through all of it,
 * and a page of 4 KiB has to be looked up every few dozen instructions.
 */
EXPORT void mhc_large(void *begin, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t from = ((uintptr_t)begin + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
  const uintptr_t to = ((uintptr_t)begin + (uintptr_t)bytes) & ~(LARGE_PAGE - 1);
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)begin, (void)bytes;
#endif
}

static void *aligned(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, LINE, bytes > 0 ? bytes : LINE) == 0 ? memory : NULL;
}

/* Starts the threads, each with memory of its own. NULL where the memory or a thread is refused. */
EXPORT void *mhc_open(int threads, int64_t scratch) {
  const size_t each = ((size_t)scratch + 4095) / 4096 * 4096;
  session *s = aligned(sizeof(session));
  counter *counters = aligned((size_t)threads * sizeof(counter));
  if (!s || !counters) { free(s); free(counters); return NULL; }
  memset(s, 0, sizeof(session));
  team_begin(&s->team, threads, counters);
  pthread_mutex_init(&s->mutex, NULL);
  pthread_cond_init(&s->ended, NULL);
  s->counters = counters;
  s->workers = malloc((size_t)threads * sizeof(worker));
  s->handles = malloc((size_t)threads * sizeof(pthread_t));
  s->memory = aligned((size_t)threads * each);
  if (s->memory) mhc_large(s->memory, (int64_t)((size_t)threads * each));
  if (!s->workers || !s->handles || !s->memory) { mhc_close(s); return NULL; }
  for (int t = 0; t < threads; t++)
    s->workers[t] = (worker){.of = s, .number = t, .scratch = s->memory + (size_t)t * each};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  for (; s->started < threads; s->started++)
    if (pthread_create(&s->handles[s->started], &attributes, work, &s->workers[s->started]) != 0) break;
  pthread_attr_destroy(&attributes);
  if (s->started == threads) return s;
  mhc_close(s);
  return NULL;
}

/* Runs a table; with times, they are the milliseconds of every dispatch. */
EXPORT void mhc_run(void *of, const void *kernels, const void *table, int64_t count, double *times) {
  session *s = of;
  s->kernels = kernels;
  s->table = table;
  s->count = count;
  s->times = times;
  s->done = 0;
  team_proceed(&s->team);
  pthread_mutex_lock(&s->mutex);
  while (!s->done) pthread_cond_wait(&s->ended, &s->mutex);
  pthread_mutex_unlock(&s->mutex);
}
`;
