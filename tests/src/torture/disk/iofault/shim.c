/* Fails one call, or every call from one on, that touches files below a folder. Preloaded into a program under test.
 *
 * FAULT_DIR     the folder
 * FAULT_AT      which call is the first to fail, counted from 1; 0 for none
 * FAULT_KIND    eio, sync (EIO of fsync alone), enospc (calls that need room), or short (half of the bytes are really written)
 * FAULT_WHEN    a file: as long as it does not exist no call fails
 * FAULT_STICKY  1: every later call that can fail so does
 * FAULT_REPORT  a file that says how many calls there were, and which one failed first
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { NONE, EIO_KIND, SYNC_KIND, ENOSPC_KIND, SHORT_KIND };
enum need { READS, WRITES, NAMES, SYNCS };

#define FILES 4096
static atomic_char watched[FILES];
static atomic_long calls;
static atomic_int injected;
static long at;
static int sticky;
static enum kind kind;
static const char *dir;
static const char *when;
static char first[64] = "none";

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("FAULT_AT");
  dir = getenv("FAULT_DIR");
  when = getenv("FAULT_WHEN");
  at = text ? atol(text) : 0;
  text = getenv("FAULT_STICKY");
  sticky = text && *text == '1';
  text = getenv("FAULT_KIND");
  kind = !text                    ? NONE
         : !strcmp(text, "eio")    ? EIO_KIND
         : !strcmp(text, "sync")   ? SYNC_KIND
         : !strcmp(text, "enospc") ? ENOSPC_KIND
                                   : SHORT_KIND;
}

/* Also at _exit and abort: written as soon as something is known. */
static void report(void) {
  const char *path = getenv("FAULT_REPORT");
  if (!path) return;
  int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  char line[128];
  int length = snprintf(line, sizeof line, "%12ld %-40s\n", atomic_load(&calls), first);
  if (REAL(pwrite)(fd, line, (size_t)length, 0) < 0) { /* the campaign will miss it */ }
  REAL(close)(fd);
}

__attribute__((destructor)) static void end(void) { report(); }

static int below(const char *path) {
  size_t length = dir ? strlen(dir) : 0;
  return length && path && !strncmp(path, dir, length) && (path[length] == '/' || !path[length]);
}

static int is_watched(int fd) { return fd >= 0 && fd < FILES && atomic_load(&watched[fd]); }

/* What this call is to meet. */
static enum kind meets(const char *name, enum need need) {
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (!at || kind == NONE || (sticky ? number < at : number != at)) return NONE;
  int can = kind == EIO_KIND || (kind == SYNC_KIND && need == SYNCS) ||
            (kind == ENOSPC_KIND && (need == WRITES || need == NAMES)) || (kind == SHORT_KIND && need == WRITES);
  if (!can || (when && access(when, F_OK))) return NONE;
  if (!atomic_exchange(&injected, 1)) {
    snprintf(first, sizeof first, "%s", name);
    report();
  }
  return kind;
}

#define FAIL(met, otherwise)                                   \
  do {                                                         \
    enum kind fails = (met);                                   \
    if (fails == EIO_KIND || fails == SYNC_KIND) { errno = EIO; return -1; } \
    if (fails == ENOSPC_KIND) { errno = ENOSPC; return -1; }   \
    return otherwise;                                          \
  } while (0)

static int opened(int fd, const char *path) {
  if (fd >= 0 && fd < FILES) atomic_store(&watched[fd], (char)below(path));
  return fd;
}

#define OPEN(name)                                                                     \
  int name(const char *path, int flags, ...) {                                         \
    va_list rest;                                                                      \
    va_start(rest, flags);                                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;            \
    va_end(rest);                                                                      \
    if (below(path)) {                                                                 \
      enum kind found = meets(flags & O_CREAT ? #name "+create" : #name, flags & O_CREAT ? NAMES : READS); \
      if (found == EIO_KIND || found == ENOSPC_KIND) FAIL(found, -1);                  \
    }                                                                                  \
    return opened(REAL(name)(path, flags, mode), path);                                \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                   \
  int name(int folder, const char *path, int flags, ...) {                             \
    va_list rest;                                                                      \
    va_start(rest, flags);                                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;            \
    va_end(rest);                                                                      \
    if (below(path)) {                                                                 \
      enum kind found = meets(flags & O_CREAT ? #name "+create" : #name, flags & O_CREAT ? NAMES : READS); \
      if (found == EIO_KIND || found == ENOSPC_KIND) FAIL(found, -1);                  \
    }                                                                                  \
    return opened(REAL(name)(folder, path, flags, mode), path);                        \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
  if (fd >= 0 && fd < FILES) atomic_store(&watched[fd], 0);
  return REAL(close)(fd);
}

#define PWRITE(name, place)                                                            \
  ssize_t name(int fd, const void *bytes, size_t length, place offset) {               \
    if (is_watched(fd)) {                                                              \
      enum kind found = meets(#name, WRITES);                                          \
      if (found == SHORT_KIND && length > 1) return REAL(name)(fd, bytes, length / 2, offset); \
      if (found != NONE && found != SHORT_KIND) FAIL(found, -1);                       \
    }                                                                                  \
    return REAL(name)(fd, bytes, length, offset);                                      \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *bytes, size_t length) {
  if (is_watched(fd)) {
    enum kind found = meets("write", WRITES);
    if (found == SHORT_KIND && length > 1) return REAL(write)(fd, bytes, length / 2);
    if (found != NONE && found != SHORT_KIND) FAIL(found, -1);
  }
  return REAL(write)(fd, bytes, length);
}

#define PREAD(name, place)                                                             \
  ssize_t name(int fd, void *bytes, size_t length, place offset) {                     \
    if (is_watched(fd)) FAIL(meets(#name, READS), REAL(name)(fd, bytes, length, offset)); \
    return REAL(name)(fd, bytes, length, offset);                                      \
  }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

ssize_t read(int fd, void *bytes, size_t length) {
  if (is_watched(fd)) FAIL(meets("read", READS), REAL(read)(fd, bytes, length));
  return REAL(read)(fd, bytes, length);
}

#define ON_FILE(name, need, parameters, arguments)                                     \
  int name parameters {                                                                \
    if (is_watched(fd)) FAIL(meets(#name, need), REAL(name) arguments);                \
    return REAL(name) arguments;                                                       \
  }
ON_FILE(fsync, SYNCS, (int fd), (fd))
ON_FILE(fdatasync, SYNCS, (int fd), (fd))
ON_FILE(ftruncate, WRITES, (int fd, off_t length), (fd, length))
ON_FILE(ftruncate64, WRITES, (int fd, off64_t length), (fd, length))
ON_FILE(fallocate, WRITES, (int fd, int mode, off_t from, off_t length), (fd, mode, from, length))
ON_FILE(fallocate64, WRITES, (int fd, int mode, off64_t from, off64_t length), (fd, mode, from, length))

int rename(const char *from, const char *to) {
  if (below(from)) FAIL(meets("rename", NAMES), REAL(rename)(from, to));
  return REAL(rename)(from, to);
}

int unlink(const char *path) {
  if (below(path)) FAIL(meets("unlink", READS), REAL(unlink)(path));
  return REAL(unlink)(path);
}
