/*
 * A machine that has run for longer, for LD_PRELOAD: LATER_MS is added to the wall clock and to the clock since boot, so
 * that days pass as they do within one boot; WALL_MS is added to the wall clock alone, as when somebody sets it.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t milliseconds(const char *name) {
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

/* Read once: a program may empty its environment. */
static int64_t later_ms, wall_ms;
__attribute__((constructor)) static void read_environment(void) {
    later_ms = milliseconds("LATER_MS");
    wall_ms = milliseconds("WALL_MS");
}

int clock_gettime(clockid_t id, struct timespec *out) {
    int result = (int)syscall(SYS_clock_gettime, id, out);
    int64_t add = 0;
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        add = later_ms + wall_ms;
    } else if (id == CLOCK_BOOTTIME) {
        add = later_ms;
    }
    if (result == 0 && add != 0) {
        int64_t total = (int64_t)out->tv_sec * 1000 + out->tv_nsec / 1000000 + add;
        out->tv_nsec = total % 1000 * 1000000 + out->tv_nsec % 1000000;
        out->tv_sec = total / 1000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
