/* Preloaded into a Valkey: slows its fsync and moves its clock by what a shared file says.
   The file holds two 64-bit numbers: milliseconds that each fsync takes longer, and milliseconds that are added
   to the wall clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *say;
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    say = map == MAP_FAILED ? NULL : map;
    if (file >= 0) close(file);
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_clock = dlsym(RTLD_NEXT, "clock_gettime");
}

static void wait_for_disk(void) {
    if (say && say[0] > 0) usleep(say[0] * 1000);
}

int fsync(int file) {
    wait_for_disk();
    return real_fsync(file);
}

int fdatasync(int file) {
    wait_for_disk();
    return real_fdatasync(file);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    if (!real_clock) real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real_clock(which, at);
    if (!failed && which == CLOCK_REALTIME && say) {
        int64_t ms = at->tv_sec * 1000 + at->tv_nsec / 1000000 + say[1];
        at->tv_sec = ms / 1000;
        at->tv_nsec = ms % 1000 * 1000000 + at->tv_nsec % 1000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
