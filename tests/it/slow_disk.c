/* Loaded into the program by tests/it/slow.rs: every sync takes as many milliseconds as the file $SYNC_PAUSE says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void pause_as_told(void) {
    char text[16] = {0};
    int saved = errno, file = open(getenv("SYNC_PAUSE"), O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) usleep(1000u * (unsigned)atoi(text));
        close(file);
    }
    errno = saved;
}

#define SLOW(name, params, args)                                  \
    int name params {                                             \
        int (*real) params = (int (*) params)dlsym(RTLD_NEXT, #name); \
        pause_as_told();                                          \
        return real args;                                         \
    }

SLOW(fsync, (int fd), (fd))
SLOW(fdatasync, (int fd), (fd))
SLOW(sync_file_range, (int fd, off64_t from, off64_t length, unsigned flags), (fd, from, length, flags))
