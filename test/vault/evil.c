/* A library that somebody wants to run inside the helper: it leaves a mark where it runs with another user's rights. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void run(void) {
    if (geteuid() != getuid()) {
        close(open(MARKER, O_WRONLY | O_CREAT, 0600));
        abort();
    }
}

unsigned la_version(unsigned version) {
    run();
    return version;
}
