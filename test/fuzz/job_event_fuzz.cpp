// Both directions of the job protocol: what a job says to the server process, and what it is asked.
#include <fuzzer/FuzzedDataProvider.h>

#include <string>

#include "core/error.h"
#include "core/job_protocol.h"
#include "fuzz.h"

namespace {

using namespace immbackup;
using fuzz::require;

JobEvent read_back(const JobEvent& event) {
    const std::string line = format_job_event(event);
    require(line.size() <= kMaxEventLine && line.find('\n') == line.size() - 1);
    const auto read = parse_job_event(std::string_view(line).substr(0, line.size() - 1));
    require(read && read->kind == event.kind);
    require(format_job_event(*read) == line);
    return *read;
}

void check_line(std::string_view line) {
    if (const auto event = parse_job_event(line)) {
        require(event->process_group >= 0 && event->process_group != 1);
        read_back(*event);
    }
}

// Any text can be said; what is too long arrives as its beginning.
void check_event(FuzzedDataProvider& in) {
    const auto text = [&in] { return in.ConsumeRandomLengthString(); };
    JobEvent event;
    event.kind = static_cast<JobEventKind>(in.ConsumeIntegralInRange(0, 5));
    event.run = event.phase = text();
    event.database = text();
    event.table = event.message = event.text = text();
    event.detail = text();
    event.hint = text();
    event.process_group = in.ConsumeIntegralInRange(2, 1 << 22);
    event.exit_code = in.ConsumeIntegral<int>();
    event.bytes_in = in.ConsumeIntegral<std::uint64_t>();
    event.bytes_total = in.ConsumeIntegral<std::uint64_t>();
    event.databases_done = in.ConsumeIntegral<std::uint32_t>();
    const JobEvent read = read_back(event);
    require(event.run.starts_with(read.run) && event.phase.starts_with(read.phase));
    require(event.database.starts_with(read.database) && event.table.starts_with(read.table));
    require(event.message.starts_with(read.message) && event.detail.starts_with(read.detail));
    require(event.hint.starts_with(read.hint) && event.text.starts_with(read.text));
    if (event.kind == JobEventKind::progress) {
        require(read.bytes_in == event.bytes_in && read.bytes_total == event.bytes_total &&
                read.databases_done == event.databases_done);
    } else if (event.kind == JobEventKind::result) {
        require(read.exit_code == event.exit_code);
    }
}

void check_request(std::string_view text) {
    JobRequest request;
    try {
        request = job_request_from_json(text);
    } catch (const Error& error) {
        require(error.code() == ErrorCode::usage || error.code() == ErrorCode::version);
        return;
    }
    const std::string json = job_request_to_json(request);
    require(json.find('\n') == json.size() - 1);
    const JobRequest read = job_request_from_json(json);
    require(job_request_to_json(read) == json);
    require(read.settings == request.settings && read.databases == request.databases &&
            read.records.size() == request.records.size() && read.actor == request.actor);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    check_line(fuzz::text_of(data, size));
    check_request(fuzz::text_of(data, size));
    FuzzedDataProvider in(data, size);
    check_event(in);
    return 0;
}
