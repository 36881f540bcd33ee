/**
 * The C that runs a table of dispatches on some threads: the caller's and those that `mhc_open` starts. It does what
 * the driver of WebAssembly does (`codegen/wasm/driver.ts`). Every thread has a share of a dispatch's groups, always
 * the same one, so that what it wrote lies in its own cache; it claims them one by one from its counter, and when its
 * share is done it helps the others with theirs. After each dispatch all meet. Groups are independent, so no bit
 * depends on who ran which. Waiting spins first, since a dispatch is short, and sleeps when it is not.
 */

/** Words of a record of the table, of 64 bits: kernel, groups of all copies, of one copy, its arguments, their number. */
export const RECORD = 5;

/** The text. It wants `mhc_kernels`, a table of the functions of a plan's kernels. */
export const DRIVER = String.raw`#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) || defined(__arm__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif
#define SPINS 20000
#define LINE 64

typedef void kernel(void *const *buffers, char *scratch, ptrdiff_t begin, ptrdiff_t end);
extern kernel *const mhc_kernels[];

/* The argument is the address of a copy's buffers; those of the next copy stand behind them. */
typedef struct { int64_t kernel, groups, own, arguments, buffers; } dispatch;

/* Claimed groups of a thread's share, in a cache line of its own. */
typedef struct { _Alignas(LINE) atomic_llong claimed; } counter;

typedef struct session session;
typedef struct { session *of; int number; char *scratch; } worker;

struct session {
  _Alignas(LINE) atomic_int arrived;
  _Alignas(LINE) atomic_uint generation;
  _Alignas(LINE) atomic_int sleepers;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  int threads, started;
  const dispatch *table;
  int64_t count;
  double *times;
  atomic_bool closing;
  counter *counters;
  worker *workers;
  pthread_t *handles;
  char *memory;
};

static void await(session *s, unsigned generation) {
  for (int spins = 0; spins < SPINS; spins++) {
    if (atomic_load_explicit(&s->generation, memory_order_acquire) != generation) return;
    PAUSE();
  }
  pthread_mutex_lock(&s->mutex);
  atomic_fetch_add(&s->sleepers, 1);
  while (atomic_load(&s->generation) == generation) pthread_cond_wait(&s->wake, &s->mutex);
  atomic_fetch_sub(&s->sleepers, 1);
  pthread_mutex_unlock(&s->mutex);
}

/* Opens the next generation: who sleeps is woken, and who is about to sees it first. */
static void proceed(session *s) {
  atomic_fetch_add(&s->generation, 1);
  if (atomic_load(&s->sleepers) == 0) return;
  pthread_mutex_lock(&s->mutex);
  pthread_cond_broadcast(&s->wake);
  pthread_mutex_unlock(&s->mutex);
}

static void meet(session *s) {
  const unsigned generation = atomic_load(&s->generation);
  if (atomic_fetch_add(&s->arrived, 1) < s->threads - 1) { await(s, generation); return; }
  for (int t = 0; t < s->threads; t++) atomic_store_explicit(&s->counters[t].claimed, 0, memory_order_relaxed);
  atomic_store(&s->arrived, 0);
  proceed(s);
}

static void run_groups(const dispatch *d, char *scratch, int64_t begin, int64_t end) {
  const int64_t copy = begin / d->own;
  void *const *arguments = (void *const *)(intptr_t)d->arguments + copy * d->buffers;
  mhc_kernels[d->kernel](arguments, scratch, (ptrdiff_t)(begin - copy * d->own), (ptrdiff_t)(end - copy * d->own));
}

static void run_dispatch(session *s, const worker *w, const dispatch *d) {
  if (s->threads == 1) {
    for (int64_t at = 0; at < d->groups; at += d->own) run_groups(d, w->scratch, at, at + d->own);
    return;
  }
  for (int i = 0; i < s->threads; i++) {
    const int owner = (w->number + i) % s->threads;
    const int64_t from = d->groups * owner / s->threads, to = d->groups * (owner + 1) / s->threads;
    for (;;) {
      const int64_t group = from + atomic_fetch_add_explicit(&s->counters[owner].claimed, 1, memory_order_relaxed);
      if (group >= to) break;
      run_groups(d, w->scratch, group, group + 1);
    }
  }
  meet(s);
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

/* A worker's life: a generation opens a run, in which it takes part, and the last meeting of a run is of all. */
static void *work(void *of) {
  const worker *w = of;
  session *s = w->of;
  unsigned generation = 0;
  for (;;) {
    await(s, generation);
    if (atomic_load(&s->closing)) return NULL;
    run_table(s, w);
    generation = atomic_load(&s->generation);
    if (atomic_fetch_add(&s->arrived, 1) == s->threads - 1) {
      atomic_store(&s->arrived, 0);
      proceed(s);
    } else await(s, generation);
    generation++;
  }
}

EXPORT void mhc_close(void *of) {
  session *s = of;
  atomic_store(&s->closing, 1);
  proceed(s);
  for (int t = 1; t < s->started; t++) pthread_join(s->handles[t], NULL);
  pthread_cond_destroy(&s->wake);
  pthread_mutex_destroy(&s->mutex);
  free(s->counters);
  free(s->workers);
  free(s->handles);
  free(s->memory);
  free(s);
}

static void *aligned(size_t bytes) {
  void *memory = NULL;
  return posix_memalign(&memory, LINE, bytes > 0 ? bytes : LINE) == 0 ? memory : NULL;
}

/* Starts the threads, each with memory of its own. NULL where the memory or a thread is refused. */
EXPORT void *mhc_open(int threads, int64_t scratch) {
  const size_t each = ((size_t)scratch + 4095) / 4096 * 4096;
  session *s = aligned(sizeof(session));
  if (!s) return NULL;
  *s = (session){.threads = threads, .started = 1};
  pthread_mutex_init(&s->mutex, NULL);
  pthread_cond_init(&s->wake, NULL);
  s->counters = aligned((size_t)threads * sizeof(counter));
  s->workers = malloc((size_t)threads * sizeof(worker));
  s->handles = malloc((size_t)threads * sizeof(pthread_t));
  s->memory = aligned((size_t)threads * each);
  if (!s->counters || !s->workers || !s->handles || !s->memory) { mhc_close(s); return NULL; }
  for (int t = 0; t < threads; t++) {
    atomic_init(&s->counters[t].claimed, 0);
    s->workers[t] = (worker){.of = s, .number = t, .scratch = s->memory + (size_t)t * each};
  }
  for (; s->started < threads; s->started++) {
    if (pthread_create(&s->handles[s->started], NULL, work, &s->workers[s->started]) == 0) continue;
    mhc_close(s);
    return NULL;
  }
  return s;
}

/* Runs a table; with times, they are the milliseconds of every dispatch. */
EXPORT void mhc_run(void *of, const void *table, int64_t count, double *times) {
  session *s = of;
  s->table = table;
  s->count = count;
  s->times = times;
  if (s->threads > 1) proceed(s);
  run_table(s, &s->workers[0]);
  if (s->threads == 1) return;
  const unsigned generation = atomic_load(&s->generation);
  if (atomic_fetch_add(&s->arrived, 1) == s->threads - 1) {
    atomic_store(&s->arrived, 0);
    proceed(s);
  } else await(s, generation);
}
`;
