/* A disk that stalls: while the file STALL_WHILE exists, each call that makes something durable takes STALL_MS longer.
 * Loaded by LD_PRELOAD.
 *
 *   STALL_WHILE   the file; calls are as they are while it is not there
 *   STALL_MS      how much longer, ms
 *   STALL_LOG     gets a line for each such call: its name, when it began and ended, microseconds since 1970, and the
 *                 file's path
 *   STALL_NAMES   set: making, renaming and removing a file takes as long, as it does where a file system's journal waits
 *                 for the disk
 *   STALL_CORE    set: the whole program runs on one core
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The function behind the one of the same name here. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *stalled_while;
static long stall_ms;
static int log_fd = -1;
static int names;

__attribute__((constructor)) static void start(void) {
    const char *ms = getenv("STALL_MS"), *file = getenv("STALL_LOG");
    stalled_while = getenv("STALL_WHILE");
    stall_ms = ms ? atol(ms) : 0;
    names = getenv("STALL_NAMES") != NULL;
    if (getenv("STALL_CORE")) {
        /* Before there is a second thread: all that come inherit it. */
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) abort();
    }
    if (!file) return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) abort();
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void stall(void) {
    int before = errno;
    if (stalled_while && access(stalled_while, F_OK) == 0) {
        struct timespec left = {stall_ms / 1000, stall_ms % 1000 * 1000000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
    }
    errno = before;
}

static void note(const char *call, int fd, int64_t begun) {
    int before = errno;
    char link[64], path[PATH_MAX], line[PATH_MAX + 128];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    int written = snprintf(line, sizeof line, "%s %lld %lld %s\n", call, (long long)begun, (long long)now_us(), path);
    /* Half a line would hide a call from whoever reads the log. */
    if (log_fd >= 0 && syscall(SYS_write, log_fd, line, (size_t)written) != written) abort();
    errno = before;
}

#define SYNC(name, arguments, call, fd)                                                                                \
    int name arguments {                                                                                               \
        int64_t begun = now_us();                                                                                      \
        stall();                                                                                                       \
        int result = REAL(name) call;                                                                                  \
        note(#name, fd, begun);                                                                                        \
        return result;                                                                                                 \
    }
SYNC(fsync, (int fd), (fd), fd)
SYNC(fdatasync, (int fd), (fd), fd)
SYNC(syncfs, (int fd), (fd), fd)
SYNC(sync_file_range, (int fd, off64_t at, off64_t len, unsigned flags), (fd, at, len, flags), fd)
SYNC(msync, (void *at, size_t len, int flags), (at, len, flags), -1)

#define NAME(name, arguments, call)                                                                                    \
    int name arguments {                                                                                               \
        if (names) stall();                                                                                            \
        return REAL(name) call;                                                                                        \
    }
NAME(unlink, (const char *path), (path))
NAME(unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
NAME(rename, (const char *from, const char *to), (from, to))

#define OPEN(name, arguments, call)                                                                                    \
    int name arguments {                                                                                               \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
            if (names) stall();                                                                                        \
        }                                                                                                              \
        return REAL(name) call;                                                                                        \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
