/* Remembers what of a folder would survive a power failure. Loaded into the agent with LD_PRELOAD by tests/kill.rs.
 *
 * Whenever a file below $LOSTWRITES_ROOT is synced (fsync, fdatasync), its content is copied to
 * $LOSTWRITES_SHADOW/inodes/<key>; whenever a folder is, its listing is written to $LOSTWRITES_SHADOW/folders/<key>, a line
 * `f <key> <name>` or `d <key> <name>` for each entry. A key is <inode>-<second>.<nanosecond> of its birth, so that an
 * inode's number that is used again is another key. Nothing else counts as durable: no write, no rename, no link, no
 * sync_file_range, no msync. What to make of it is left to power.rs, which rebuilds the folder from it.
 *
 * With $LOSTWRITES_KILL_BEFORE=n the process is killed as it asks for its n-th sync, when all that was to become durable
 * is there and is not; with $LOSTWRITES_KILL_AFTER=n right after it has become durable.
 *
 * The real calls are not made: the kernel keeps what was written whatever becomes of the process, and tests are quicker. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One sync at a time: an older listing must not replace a newer one. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static unsigned long count;

static _Noreturn void fail(const char *what, const char *path) {
    fprintf(stderr, "lostwrites: cannot %s %s: %s\n", what, path, strerror(errno));
    _exit(99);
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int is_below_root(int fd) {
    char link[64], path[PATH_MAX];
    const char *root = setting("LOSTWRITES_ROOT");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!root || length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(root);
    return strncmp(path, root, prefix) == 0 && (path[prefix] == 0 || path[prefix] == '/');
}

static void key_of(const struct statx *stat, char *key, size_t size) {
    long long second = 0;
    unsigned nanosecond = 0;
    if (stat->stx_mask & STATX_BTIME) {
        second = stat->stx_btime.tv_sec;
        nanosecond = stat->stx_btime.tv_nsec;
    }
    snprintf(key, size, "%llu-%lld.%09u", (unsigned long long)stat->stx_ino, second, nanosecond);
}

static void write_all(int fd, const char *bytes, size_t size, const char *path) {
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("write", path);
        bytes += written;
        size -= (size_t)written;
    }
}

/* A descriptor to read the file behind `fd` by. Only one that cannot be read is opened anew, because to close a second
 * descriptor of SQLite's database would release its locks. */
static int readable(int fd) {
    char link[64];
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR) return fd;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int copy = open(link, O_RDONLY | O_CLOEXEC);
    if (copy < 0) fail("open", link);
    return copy;
}

static void copy_content(int fd, int to, const char *path) {
    static char buffer[1 << 18];
    int from = readable(fd);
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(from, buffer, sizeof buffer, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail("read for", path);
        if (got == 0) break;
        write_all(to, buffer, (size_t)got, path);
        at += got;
    }
    if (from != fd) close(from);
}

static void write_listing(int fd, int to, const char *path) {
    char line[NAME_MAX + 128], key[64];
    DIR *folder = fdopendir(readable(fd));
    if (!folder) fail("list for", path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct statx stat;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        /* Gone in between: then its going is not durable yet, and neither is it there. */
        if (statx(dirfd(folder), entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stat) != 0) continue;
        key_of(&stat, key, sizeof key);
        int length = snprintf(line, sizeof line, "%c %s %s\n", S_ISDIR(stat.stx_mode) ? 'd' : 'f', key, entry->d_name);
        write_all(to, line, (size_t)length, path);
    }
    closedir(folder);
}

static void remember(int fd, const struct statx *stat, const char *shadow) {
    char key[64], path[PATH_MAX], temporary[PATH_MAX];
    key_of(stat, key, sizeof key);
    int is_folder = S_ISDIR(stat->stx_mode);
    snprintf(path, sizeof path, "%s/%s/%s", shadow, is_folder ? "folders" : "inodes", key);
    snprintf(temporary, sizeof temporary, "%s/temporary", shadow);
    int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) fail("open", temporary);
    if (is_folder) write_listing(fd, to, path);
    else copy_content(fd, to, path);
    close(to);
    if (rename(temporary, path) != 0) fail("rename to", path);
}

static void kill_if(const char *name) {
    const char *at = setting(name);
    if (at && strtoul(at, NULL, 10) == count) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static int sync_file(int fd) {
    struct statx stat;
    const char *shadow = setting("LOSTWRITES_SHADOW");
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stat) != 0) return -1;
    if (!shadow || !is_below_root(fd) || (!S_ISREG(stat.stx_mode) && !S_ISDIR(stat.stx_mode))) return 0;
    pthread_mutex_lock(&one_at_a_time);
    count++;
    kill_if("LOSTWRITES_KILL_BEFORE");
    remember(fd, &stat, shadow);
    kill_if("LOSTWRITES_KILL_AFTER");
    pthread_mutex_unlock(&one_at_a_time);
    return 0;
}

int fsync(int fd) { return sync_file(fd); }
int fdatasync(int fd) { return sync_file(fd); }
