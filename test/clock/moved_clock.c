/*
 * A wall clock that a test moves, for LD_PRELOAD: CLOCK_REALTIME begins at another time and may run faster. The file in
 * MOVED_CLOCK holds three numbers that may change at any time: real and moved time in nanoseconds that belong together,
 * and the rate (a double). The kernel cannot be told that its clock was "set", so a timer on it fires at least five
 * times a second instead: who waits for a time looks at the clock again, as after the kernel's ECANCELED.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct clock_file {
    volatile int64_t real, moved;
    volatile double rate;
};

static const struct clock_file *file(void) {
    static const struct clock_file *mapped;
    if (mapped == NULL) {
        const char *path = getenv("MOVED_CLOCK");
        int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *mapped, PROT_READ, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED) {
            abort();
        }
        close(fd);
        mapped = memory;
    }
    return mapped;
}

static int64_t real_now(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t moved_now(void) {
    const struct clock_file *clock = file();
    return clock->moved + (int64_t)((double)(real_now() - clock->real) * clock->rate);
}

int clock_gettime(clockid_t id, struct timespec *out) {
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) {
        return (int)syscall(SYS_clock_gettime, id, out);
    }
    int64_t now = moved_now();
    out->tv_sec = now / 1000000000;
    out->tv_nsec = now % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    int64_t now = moved_now();
    out->tv_sec = now / 1000000000;
    out->tv_usec = now % 1000000000 / 1000;
    return 0;
}

time_t time(time_t *out) {
    time_t now = (time_t)(moved_now() / 1000000000);
    if (out != NULL) {
        *out = now;
    }
    return now;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
    struct itimerspec real = *new;
    if ((flags & TFD_TIMER_ABSTIME) != 0 && (new->it_value.tv_sec != 0 || new->it_value.tv_nsec != 0)) {
        const struct clock_file *clock = file();
        int64_t wanted = (int64_t)new->it_value.tv_sec * 1000000000 + new->it_value.tv_nsec;
        int64_t at = clock->real + (int64_t)((double)(wanted - clock->moved) / clock->rate);
        int64_t soon = real_now() + 200000000;
        at = at < soon ? at : soon;
        real.it_value.tv_sec = at / 1000000000;
        real.it_value.tv_nsec = at % 1000000000;
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}
