/* A clock in the hands of a test, for a stock server: preloaded, it answers the time that the test wrote.
 *
 *   VIRTUAL_CLOCK       the file that holds the time: two native 64-bit integers, both in microseconds,
 *                       first the wall clock, then how far the monotonic clock has moved since the start.
 *   VIRTUAL_CLOCK_MONO  set: the monotonic clock is the test's as well. Valkey 9 derives the wall's time from it.
 *                       The server's own timers then stand still until the test moves the time.
 *
 * Raw system calls, no allocation and no symbol look-up: it is called while the allocator of the server starts.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WALL, MONOTONIC, WORDS };

static const volatile int64_t *page;
static int prepared, moves_monotonic;
static int64_t started; /* the real monotonic clock, when the server started */

static int64_t real_us(clockid_t clock) {
  struct timespec t;
  syscall(SYS_clock_gettime, clock, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void prepare(void) {
  if (prepared) return;
  prepared = 1;
  const char *path = getenv("VIRTUAL_CLOCK");
  if (!path) return;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  const void *mapped = mmap(0, WORDS * sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return;
  started = real_us(CLOCK_MONOTONIC);
  moves_monotonic = getenv("VIRTUAL_CLOCK_MONO") != 0;
  page = mapped;
}

static int64_t wall_us(void) {
  prepare();
  return page ? page[WALL] : real_us(CLOCK_REALTIME);
}

int gettimeofday(struct timeval *out, void *zone) {
  (void)zone;
  int64_t us = wall_us();
  out->tv_sec = us / 1000000;
  out->tv_usec = us % 1000000;
  return 0;
}

time_t time(time_t *out) {
  time_t seconds = wall_us() / 1000000;
  if (out) *out = seconds;
  return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
  int64_t us;
  prepare();
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
    us = wall_us();
  else if (clock == CLOCK_MONOTONIC && page && moves_monotonic)
    us = started + page[MONOTONIC];
  else
    return syscall(SYS_clock_gettime, clock, out);
  out->tv_sec = us / 1000000;
  out->tv_nsec = us % 1000000 * 1000;
  return 0;
}
