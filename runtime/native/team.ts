/**
 * Threads in C that work through dispatches together, as those of WebAssembly do (`codegen/wasm/driver.ts`). Every
 * thread has a share of a dispatch's groups, always the same one, so that what it wrote lies in its own cache; it
 * claims them one by one from its counter, and when its share is done it helps the others with theirs. After each
 * dispatch all meet. Groups are independent, so no bit depends on who ran which. Waiting spins first, since a dispatch
 * is short, and sleeps when it is not. The text is part of the native device's driver and of models that are one C
 * file.
 */

/** The text. It wants pthread.h and stdatomic.h, and is the same on 32 bits. */
export const TEAM = String.raw`#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif
#define SPINS 2000
#define LINE 64

/* Claimed groups of a thread's share, in a cache line of its own. */
typedef struct { _Alignas(LINE) atomic_int claimed; } counter;

typedef struct {
  _Alignas(LINE) atomic_int arrived;
  _Alignas(LINE) atomic_uint generation;
  _Alignas(LINE) atomic_int sleepers;
  atomic_int closing;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  int threads;
  counter *counters;
} team;

static void team_begin(team *t, int threads, counter *counters) {
  atomic_init(&t->arrived, 0);
  atomic_init(&t->generation, 0);
  atomic_init(&t->sleepers, 0);
  atomic_init(&t->closing, 0);
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->wake, NULL);
  t->threads = threads;
  t->counters = counters;
  for (int i = 0; i < threads; i++) atomic_init(&counters[i].claimed, 0);
}

static void team_end(team *t) {
  pthread_cond_destroy(&t->wake);
  pthread_mutex_destroy(&t->mutex);
}

/* Waits until a generation has passed. */
static void team_await(team *t, unsigned generation) {
  for (int spins = 0; spins < SPINS; spins++) {
    if (atomic_load_explicit(&t->generation, memory_order_acquire) != generation) return;
    PAUSE();
  }
  pthread_mutex_lock(&t->mutex);
  atomic_fetch_add(&t->sleepers, 1);
  while (atomic_load(&t->generation) == generation) pthread_cond_wait(&t->wake, &t->mutex);
  atomic_fetch_sub(&t->sleepers, 1);
  pthread_mutex_unlock(&t->mutex);
}

/* Opens the next generation: who sleeps is woken, and who is about to sees it first. */
static void team_proceed(team *t) {
  atomic_fetch_add(&t->generation, 1);
  if (atomic_load(&t->sleepers) == 0) return;
  pthread_mutex_lock(&t->mutex);
  pthread_cond_broadcast(&t->wake);
  pthread_mutex_unlock(&t->mutex);
}

/* All arrive; the last clears the counters. Gives the generation that is open then. */
static unsigned team_meet(team *t) {
  const unsigned generation = atomic_load(&t->generation);
  if (atomic_fetch_add(&t->arrived, 1) < t->threads - 1) team_await(t, generation);
  else {
    for (int i = 0; i < t->threads; i++) atomic_store_explicit(&t->counters[i].claimed, 0, memory_order_relaxed);
    atomic_store(&t->arrived, 0);
    team_proceed(t);
  }
  return generation + 1;
}

/* The next group of the share of a thread; at the end of the share or beyond when there is none. */
static int32_t team_claim(team *t, int owner, int32_t groups, int32_t *end) {
  const int32_t from = (int32_t)((int64_t)groups * owner / t->threads);
  *end = (int32_t)((int64_t)groups * (owner + 1) / t->threads);
  return from + atomic_fetch_add_explicit(&t->counters[owner].claimed, 1, memory_order_relaxed);
}`;
