/* Records, in their order, what a process does to the files below one directory and what it makes durable: all that a
 * power cut could undo. Loaded by LD_PRELOAD.
 *
 *   RECORD_ROOT   the directory, an absolute path
 *   RECORD_LOG    the file of records: kind, fd, offset, length of a, length of b (5 x int64), then a and b
 *
 *   'o' opened a as fd, with these flags      'r' renamed a to b            's' fsync      'm' mkdir a
 *   'w' wrote a at offset                     'u' unlinked a                'f' fdatasync  'd' rmdir a
 *   't' set the length to offset
 *
 * sync_file_range makes nothing durable and is left alone. A lock is held around each call and its record, so that the
 * order of the records is the order of the calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 65536 };
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static unsigned char ours[FDS];
static const char *root;
static size_t root_len;
static int log_fd = -1;

/* The function behind the one of the same name here. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_ours(int fd) { return fd >= 0 && fd < FDS && ours[fd]; }

static void note(char kind, int fd, int64_t offset, const void *a, size_t a_len, const void *b, size_t b_len) {
    int64_t head[5] = {kind, fd, offset, (int64_t)a_len, (int64_t)b_len};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)a, a_len}, {(void *)b, b_len}};
    /* Half a record would make a wrong verdict out of all that follow. */
    if (syscall(SYS_writev, log_fd, parts, 3) != (long)(sizeof head + a_len + b_len)) abort();
}

/* The absolute path of a name in a directory; whether it lies below the root. */
static int below(int dir, const char *name, char path[PATH_MAX]) {
    if (log_fd < 0) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char link[64], base[PATH_MAX / 2];
        snprintf(link, sizeof link, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
        ssize_t len = readlink(link, base, sizeof base - 1);
        if (len < 0) return 0;
        base[len] = 0;
        snprintf(path, PATH_MAX, "%s/%.*s", base, PATH_MAX / 2 - 1, name);
    }
    return strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

static void note_paths(char kind, const char *a, const char *b) {
    note(kind, -1, 0, a, strlen(a), b, b ? strlen(b) : 0);
}

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("RECORD_LOG");
    root = getenv("RECORD_ROOT");
    if (!root || !file) return;
    root_len = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log_fd < 0) abort();
}

static int opened(int fd, int dir, const char *name, int flags) {
    char path[PATH_MAX];
    if (fd >= 0 && fd < FDS) {
        ours[fd] = (unsigned char)below(dir, name, path);
        if (ours[fd]) note('o', fd, flags, path, strlen(path), NULL, 0);
    }
    return fd;
}

#define OPEN(name, arguments, dir, call)                                                                               \
    int name arguments {                                                                                               \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        pthread_mutex_lock(&turn);                                                                                     \
        int fd = opened(REAL(name) call, dir, path, flags);                                                            \
        pthread_mutex_unlock(&turn);                                                                                   \
        return fd;                                                                                                     \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))

int close(int fd) {
    pthread_mutex_lock(&turn);
    if (is_ours(fd)) ours[fd] = 0;
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&turn);
    return result;
}

#define WRITE(name, arguments, call, offset)                                                                           \
    ssize_t name arguments {                                                                                           \
        pthread_mutex_lock(&turn);                                                                                     \
        ssize_t wrote = REAL(name) call;                                                                               \
        if (wrote > 0 && is_ours(fd)) note('w', fd, offset, bytes, (size_t)wrote, NULL, 0);                            \
        pthread_mutex_unlock(&turn);                                                                                   \
        return wrote;                                                                                                  \
    }
/* Where a plain write has gone is known afterwards, even when the file is appended to. */
WRITE(write, (int fd, const void *bytes, size_t len), (fd, bytes, len), lseek(fd, 0, SEEK_CUR) - wrote)
WRITE(pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at), at)
WRITE(pwrite64, (int fd, const void *bytes, size_t len, off64_t at), (fd, bytes, len, at), at)

/* What writes several pieces goes the way of what writes one; a short write is allowed. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_ours(fd)) return REAL(writev)(fd, parts, count);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) return write(fd, parts[i].iov_base, parts[i].iov_len);
    return 0;
}

#define CALL(name, arguments, call, record)                                                                            \
    int name arguments {                                                                                               \
        pthread_mutex_lock(&turn);                                                                                     \
        char old[PATH_MAX], new[PATH_MAX];                                                                             \
        (void)old, (void)new;                                                                                          \
        int result = REAL(name) call;                                                                                  \
        if (result == 0) { record; }                                                                                   \
        pthread_mutex_unlock(&turn);                                                                                   \
        return result;                                                                                                 \
    }
CALL(ftruncate, (int fd, off_t len), (fd, len), if (is_ours(fd)) note('t', fd, len, NULL, 0, NULL, 0))
CALL(ftruncate64, (int fd, off64_t len), (fd, len), if (is_ours(fd)) note('t', fd, len, NULL, 0, NULL, 0))
CALL(fsync, (int fd), (fd), if (is_ours(fd)) note('s', fd, 0, NULL, 0, NULL, 0))
CALL(fdatasync, (int fd), (fd), if (is_ours(fd)) note('f', fd, 0, NULL, 0, NULL, 0))
CALL(mkdir, (const char *path, mode_t mode), (path, mode), if (below(AT_FDCWD, path, new)) note_paths('m', new, NULL))
CALL(rmdir, (const char *path), (path), if (below(AT_FDCWD, path, old)) note_paths('d', old, NULL))
CALL(unlink, (const char *path), (path), if (below(AT_FDCWD, path, old)) note_paths('u', old, NULL))
CALL(unlinkat, (int dir, const char *path, int flags), (dir, path, flags),
     if (below(dir, path, old)) note_paths(flags & AT_REMOVEDIR ? 'd' : 'u', old, NULL))
CALL(rename, (const char *from, const char *to), (from, to),
     if (below(AT_FDCWD, from, old) && below(AT_FDCWD, to, new)) note_paths('r', old, new))
CALL(renameat, (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from, to_dir, to),
     if (below(from_dir, from, old) && below(to_dir, to, new)) note_paths('r', old, new))
