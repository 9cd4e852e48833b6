#include "backup/notify.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "io/process.h"
#include "io/time_limit.h"

namespace immbackup {

namespace {

// A file in memory, so that a program that reads nothing never holds us up.
Fd input_of(const std::string& text) {
    Fd fd(::memfd_create("immbackup-event", MFD_CLOEXEC));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::lseek(fd.get(), 0, SEEK_SET) != 0) {
        throw system_error(errno, "pass the event to the program in on_event");
    }
    return fd;
}

}  // namespace

void notify(const std::vector<std::string>& program, const std::string& json, CancelToken& cancel) {
    const Fd input = input_of(json + "\n");
    SpawnOptions options;
    options.program = program.front();
    options.arguments.assign(program.begin() + 1, program.end());
    options.stdin_fd = input.get();
    // In the job's group, so that whoever ends the job ends the program and all it started.
    options.own_group = false;
    const TimeLimit limit(
        kNotifySeconds, cancel,
        Error(ErrorCode::timeout,
              fmt::format("the program \"{}\" in the setting on_event did not end within {} s",
                          options.program, kNotifySeconds),
              {}, "It was stopped. Let it hand over what takes longer."));
    const Output output = run_program(options, cancel);
    if (!output.status.success()) {
        throw Error(ErrorCode::failed,
                    fmt::format("the program \"{}\" in the setting on_event failed: {}",
                                options.program, output.status.text()),
                    output.err);
    }
}

}  // namespace immbackup
