#include "restore/psql_feed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cerrno>

#include "core/error.h"

namespace immbackup {

namespace {

Child start(const DumpProgram& psql, const ConnectionTarget& target, const std::string& database,
            bool single_transaction) {
    std::vector<std::string> arguments{"--no-psqlrc",           "--quiet",
                                       "--set=ON_ERROR_STOP=1", "--no-password",
                                       "--output=/dev/null",    "--file=-"};
    if (single_transaction) {
        arguments.emplace_back("--single-transaction");
    }
    SpawnOptions options = pg_dump_command(psql, target, arguments, database);
    options.pipe_stdin = true;
    options.pipe_stdout = true;
    options.pipe_stderr = true;
    Child child = Child::spawn(options);
    for (const Fd* pipe : {&child.stdin_pipe(), &child.stdout_pipe(), &child.stderr_pipe()}) {
        ::fcntl(pipe->get(), F_SETFL, O_NONBLOCK);
    }
    return child;
}

}  // namespace

PsqlFeed::PsqlFeed(const DumpProgram& psql, const ConnectionTarget& target,
                   const std::string& database, bool single_transaction, const CancelToken& cancel)
    : cancel_(cancel), child_(start(psql, target, database, single_transaction)) {}

void PsqlFeed::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (!child_.stdin_pipe()) {
            fail();
        }
        exchange(bytes);
    }
}

// One round of waiting: writes what psql takes, reads what it says.
void PsqlFeed::exchange(std::span<const std::byte>& bytes) {
    std::array<pollfd, 4> waits{{{child_.stdin_pipe().get(), POLLOUT, 0},
                                 {child_.stdout_pipe().get(), POLLIN, 0},
                                 {child_.stderr_pipe().get(), POLLIN, 0},
                                 {cancel_.fd(), POLLIN, 0}}};
    if (bytes.empty()) {
        waits[0].fd = -1;
    }
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
        throw system_error(errno, "wait for psql");
    }
    if (cancel_.cancelled()) {
        child_.stop();
        cancel_.check();
    }
    if (waits[1].revents != 0) {
        drain(child_.stdout_pipe(), false);
    }
    if (waits[2].revents != 0) {
        drain(child_.stderr_pipe(), true);
    }
    if (waits[0].revents != 0) {
        const ssize_t count = ::write(child_.stdin_pipe().get(), bytes.data(), bytes.size());
        if (count > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(count));
        } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
            child_.stdin_pipe().reset();  // psql is gone: what it said is the error, not the pipe's
        }
    }
}

void PsqlFeed::drain(Fd& pipe, bool keep) {
    std::array<char, 16384> buffer{};
    const ssize_t count = ::read(pipe.get(), buffer.data(), buffer.size());
    if (count > 0 && keep) {
        stderr_.append(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    } else if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        pipe.reset();
    }
}

void PsqlFeed::finish() {
    child_.stdin_pipe().reset();
    std::span<const std::byte> nothing;
    while (child_.stdout_pipe() || child_.stderr_pipe()) {
        exchange(nothing);
    }
    if (!child_.wait().success()) {
        fail();
    }
}

void PsqlFeed::fail() {
    std::span<const std::byte> nothing;
    while (child_.stderr_pipe()) {
        exchange(nothing);
    }
    const ExitStatus status = child_.wait();
    const bool missing_role = stderr_.text().find("role \"") != std::string::npos &&
                              stderr_.text().find("does not exist") != std::string::npos;
    throw Error(
        ErrorCode::restore, fmt::format("psql stopped with {}", status.text()), stderr_.text(),
        missing_role ? "Restore the globals of the same run first: immbackup restore --globals."
                     : "");
}

}  // namespace immbackup
