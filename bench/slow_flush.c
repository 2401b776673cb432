/* Makes each flush to disk take a while longer, so that a RAM disk answers like a real one, only
 * always alike: LD_PRELOAD this, and say SLOW_FLUSH_US=1000. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_first(void) {
    const char *said = getenv("SLOW_FLUSH_US");
    long us = said ? atol(said) : 0;
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (us > 0 && nanosleep(&left, &left) != 0) { }
}

int fdatasync(int fd) {
    wait_first();
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    wait_first();
    return (int)syscall(SYS_fsync, fd);
}
