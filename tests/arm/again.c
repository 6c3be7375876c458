/* A program for another machine that starts itself once more, under qemu's emulation of a process: the kernel would not
 * know its format, so the emulator is started with it. Everything else is started as it is. Loaded by LD_PRELOAD into the
 * emulated program; EMULATED names that program, EMULATOR the emulator. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>

typedef int spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                  char *const[]);

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    spawn *real = (spawn *)dlsym(RTLD_NEXT, "posix_spawnp");
    const char *own = getenv("EMULATED"), *emulator = getenv("EMULATOR");
    if (!own || !emulator || strcmp(file, own)) return real(pid, file, actions, attributes, arguments, environment);
    char *longer[64] = {(char *)emulator, (char *)own};
    for (int i = 1; arguments[i]; i++) {
        if (i + 2 == sizeof longer / sizeof *longer) abort();
        longer[i + 1] = arguments[i];
    }
    return real(pid, emulator, actions, attributes, longer, environment);
}
