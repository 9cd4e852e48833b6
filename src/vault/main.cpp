// immbackup-vault: see README.md. Everything that a caller could have prepared is shed before
// anything else is done.

#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "vault/service.h"
#include "vault/session.h"

namespace {

int usage() {
    std::fputs(
        "usage: immbackup-vault                                (requests on stdin)\n"
        "       immbackup-vault serve --socket PATH [--config FILE]\n",
        stderr);
    return 2;
}

int serve(int argc, char** argv) {
    std::string socket;
    std::string config = immbackup::vault::kConfigPath;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string_view option = argv[i];
        if (option != "--socket" && option != "--config") {
            return usage();
        }
        (option == "--socket" ? socket : config) = argv[i + 1];
    }
    if (argc % 2 != 0 || socket.empty() || socket.front() != '/' || config.front() != '/') {
        return usage();
    }
    return immbackup::vault::serve_socket(socket, config);
}

}  // namespace

int main(int argc, char** argv) {
    using namespace immbackup::vault;
    const bool by_root = ::getuid() == 0;
    if (::geteuid() == 0 && !by_root) {
        return 1;  // never set-uid root
    }
    const Caller caller = caller_by_exec();
    // Whoever comes in by the set-uid bit has no say in where the configuration is.
    const bool service =
        argc > 1 && std::string_view(argv[1]) == "serve" && (by_root || ::getuid() == ::geteuid());
    if (service && by_root) {
        // Back from the set-uid bit, to bind the socket where root wants it.
        if (::setresuid(0, 0, 0) != 0) {
            return 1;
        }
    } else if (::getuid() != ::geteuid()) {
        // Before anything else: now the caller cannot signal this process any more.
        become(::geteuid(), ::getegid());
    }
    shed_inheritance(service);
    try {
        if (service) {
            return serve(argc, argv);
        }
        if (argc != 1) {
            return usage();
        }
        return Session(STDIN_FILENO, STDOUT_FILENO, caller, kConfigPath).serve() ? 0 : 1;
    } catch (const std::exception&) {
        return 1;  // out of memory: nothing that was not published counts
    }
}
