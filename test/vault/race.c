/*
 * race ROOT PREFIX SECONDS: threads that try to write, remove, rename, link, chmod and re-flag whatever in ROOT/active
 * begins with PREFIX, as fast as they can. Prints how often they tried, and how often they succeeded.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *root, *prefix;
static time_t end;
static _Atomic long tried, won;

static void result(const char *what, int failed) {
    ++tried;
    if (!failed) {
        ++won;
        fprintf(stderr, "SUCCESS: race: %s\n", what);
    }
}

static void attack(const char *path, const char *mine) {
    int none = 0, fd;
    struct timespec times[2] = {{1, 0}, {1, 0}};
    fd = open(path, O_WRONLY);
    result("open to write", fd < 0);
    if (fd >= 0) close(fd);
    fd = open(path, O_RDWR | O_CREAT, 0666);
    result("create", fd < 0);
    if (fd >= 0) close(fd);
    result("truncate", truncate(path, 0));
    result("rename", rename(path, mine));
    result("unlink", unlink(path));
    result("chmod", chmod(path, 0666));
    result("chown", chown(path, getuid(), getgid()));
    result("link", link(path, mine));
    result("utime", utimensat(AT_FDCWD, path, times, 0));
    result("setxattr", setxattr(path, "user.immbackup.seal", "1", 1, 0));
    fd = open(path, O_RDONLY);
    if (fd >= 0) {
        char again[64];
        int second;
        result("re-flag", ioctl(fd, FS_IOC_SETFLAGS, &none));
        result("fchmod", fchmod(fd, 0666));
        snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
        second = open(again, O_RDWR);
        result("reopen", second < 0);
        if (second >= 0) close(second);
        close(fd);
    }
}

static void *hammer(void *number) {
    char folder[4096], path[8192], mine[4200];
    snprintf(folder, sizeof folder, "%s/active", root);
    snprintf(mine, sizeof mine, "%s/%s/race.%ld", root, "work", (long)number);
    while (time(NULL) < end) {
        DIR *dir = opendir(folder);
        struct dirent *entry;
        if (dir == NULL) abort();
        while ((entry = readdir(dir)) != NULL) {
            if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
                snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
                attack(path, mine);
            }
        }
        closedir(dir);
    }
    return NULL;
}

int main(int argc, char **argv) {
    enum { kThreads = 16 };
    pthread_t threads[kThreads];
    if (argc != 4) return 2;
    root = argv[1];
    prefix = argv[2];
    end = time(NULL) + atoi(argv[3]) + 1;
    for (long i = 0; i < kThreads; ++i) {
        if (pthread_create(&threads[i], NULL, hammer, (void *)i) != 0) abort();
    }
    for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
    printf("%ld %ld\n", tried, won);
    return 0;
}
