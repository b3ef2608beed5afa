/*
 * Preloaded before libc (LD_PRELOAD): counts what a process does to files below one folder, and lets the Nth of it fail.
 *
 *   COLOPHON_FAULT_FOLDER   absolute, without symbolic links
 *   COLOPHON_FAULT_AT       N, from 1; 0 or absent: none
 *   COLOPHON_FAULT_KIND     eio      it fails, once
 *                           enospc   it fails for want of room, once
 *                           full     it and every later write fail for want of room
 *                           short    half of it is written, as the call then says
 *                           torn     half of it is written, then the process is killed
 *                           kill     the process is killed before it
 *
 * Says on stderr which call it was: "fault KIND at N: CALL PATH".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long count;

static int below(const char *path) {
  const char *folder = getenv("COLOPHON_FAULT_FOLDER");
  return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* What is to be done with a call: let it be, fail with `errno` set, or write half. */
enum verdict { LET, FAIL, HALF, HALF_AND_DIE };

static enum verdict judge(const char *call, const char *path, int writes) {
  const char *at_text = getenv("COLOPHON_FAULT_AT");
  const char *kind = getenv("COLOPHON_FAULT_KIND");
  const long at = at_text == NULL ? 0 : atol(at_text);
  if (at == 0 || kind == NULL) return LET;
  const long now = atomic_fetch_add(&count, 1) + 1;
  const int full = strcmp(kind, "full") == 0;
  if (now != at && !(full && now > at && writes)) return LET;
  if (now == at) {
    char line[PATH_MAX + 128];
    const int length = snprintf(line, sizeof line, "fault %s at %ld: %s %s\n", kind, now, call, path);
    syscall(SYS_write, 2, line, (size_t)length);
  }
  if (strcmp(kind, "kill") == 0) die();
  if (strcmp(kind, "torn") == 0) {
    if (!writes) die();
    return HALF_AND_DIE;
  }
  if (strcmp(kind, "short") == 0) return writes ? HALF : LET;
  if (full && !writes) return LET;
  errno = strcmp(kind, "eio") == 0 ? EIO : ENOSPC;
  return FAIL;
}

static enum verdict judge_fd(const char *call, int fd, int writes) {
  char path[PATH_MAX];
  return path_of(fd, path) ? judge(call, path, writes) : LET;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A write of one buffer by `full`, or of its first half by `half`. */
#define WRITE(call, full, half)                                                                                       \
  switch (judge_fd(call, fd, 1)) {                                                                                    \
    case LET: return full;                                                                                            \
    case FAIL: return -1;                                                                                             \
    case HALF: return half;                                                                                           \
    default: (void)!half; die();                                                                                      \
  }                                                                                                                   \
  return -1;

ssize_t write(int fd, const void *buffer, size_t size) {
  WRITE("write", NEXT(write)(fd, buffer, size), NEXT(write)(fd, buffer, (size + 1) / 2))
}

ssize_t pwrite(int fd, const void *buffer, size_t size, off_t at) {
  WRITE("pwrite", NEXT(pwrite)(fd, buffer, size, at), NEXT(pwrite)(fd, buffer, (size + 1) / 2, at))
}

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t at) {
  WRITE("pwrite", NEXT(pwrite64)(fd, buffer, size, at), NEXT(pwrite64)(fd, buffer, (size + 1) / 2, at))
}

/* Of several buffers a half is half of the first. */
ssize_t writev(int fd, const struct iovec *parts, int number) {
  WRITE("writev", NEXT(writev)(fd, parts, number), NEXT(write)(fd, parts->iov_base, (parts->iov_len + 1) / 2))
}

ssize_t pwritev(int fd, const struct iovec *parts, int number, off_t at) {
  WRITE("pwritev", NEXT(pwritev)(fd, parts, number, at),
        NEXT(pwrite)(fd, parts->iov_base, (parts->iov_len + 1) / 2, at))
}

ssize_t pwritev64(int fd, const struct iovec *parts, int number, off64_t at) {
  WRITE("pwritev", NEXT(pwritev64)(fd, parts, number, at),
        NEXT(pwrite64)(fd, parts->iov_base, (parts->iov_len + 1) / 2, at))
}

#define CALL(name, call) return judge_fd(name, fd, 0) == FAIL ? -1 : call;

int fsync(int fd) { CALL("fsync", NEXT(fsync)(fd)) }

int fdatasync(int fd) { CALL("fdatasync", NEXT(fdatasync)(fd)) }

int ftruncate(int fd, off_t size) { CALL("ftruncate", NEXT(ftruncate)(fd, size)) }

int ftruncate64(int fd, off64_t size) { CALL("ftruncate", NEXT(ftruncate64)(fd, size)) }

int rename(const char *from, const char *to) {
  if (below(to) && judge("rename", to, 0) == FAIL) return -1;
  return NEXT(rename)(from, to);
}
