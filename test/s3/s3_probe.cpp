// The S3 library from a command line, for the tests that run it against servers. One subcommand an
// operation; the result is one line of JSON, an error is "error: <code>: <message>" on stderr, its
// code the exit code.
#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "core/digest.h"
#include "core/error.h"
#include "core/json.h"
#include "io/cancel.h"
#include "io/clock.h"
#include "io/file.h"
#include "s3/client.h"
#include "s3/lock_proof.h"
#include "s3/preflight.h"
#include "s3/uploader.h"

namespace {

using namespace immbackup;
using namespace immbackup::s3;

struct Arguments {
    S3Options s3;
    std::string mode = "COMPLIANCE";
    std::string addressing = "auto";
    int connect_timeout = 5;
    int stall_timeout = 10;
    int deadline = 30;
    std::string key, version, file, suffix, stem;
    int lock_seconds = 0;
    bool hold = false;
    bool if_absent = false;
    std::uint64_t first_part = kMinPart;
    unsigned steps = 0;  // a file that grows in so many steps
    bool give_up = false;
    bool cancel_begun = false;     // the client's token is tripped once an upload was begun
    CancelToken* token = nullptr;  // it
    bool read_file = false;
    std::string depth = "quick";
};

LockTerms terms(Client& client, const Arguments& arguments) {
    if (arguments.lock_seconds == 0 || client.options().lock_mode == LockMode::none) {
        return {};
    }
    // What a backup asks for is days; tests cannot wait for days.
    LockTerms out = client.lock_terms(0);
    out.until += std::chrono::seconds(arguments.lock_seconds);
    return out;
}

Json proof_json(const LockProof& proof) {
    return {{"version_id", proof.version_id},
            {"state", lock_state_name(proof.state)},
            {"reason", proof.reason},
            {"mode", lock_mode_name(proof.mode)},
            {"until", proof.until ? format_time(*proof.until) : ""},
            {"legal_hold", proof.legal_hold},
            {"content", proof.content},
            {"how", proof.how}};
}

ObjectSpec spec_of(Client& client, const Arguments& arguments) {
    ObjectSpec spec;
    spec.key = arguments.key;
    spec.lock = terms(client, arguments);
    spec.legal_hold = arguments.hold;
    spec.only_if_absent = arguments.if_absent;
    spec.storage_class = true;
    return spec;
}

Json put(Client& client, const Arguments& arguments) {
    const Fd fd = open_regular(arguments.file);
    const Body body = file_body(fd.get(), 0, file_size(fd, arguments.file), client.cancel());
    const ObjectSpec spec = spec_of(client, arguments);
    const Written written = client.put(spec, body);
    return proof_json(prove_lock(client, spec.key, written.version_id,
                                 {body.size, base64(body.digests.sha256), to_hex(body.digests.md5)},
                                 spec.lock, spec.legal_hold));
}

// Copies the file to "<file>.growing" step by step, as pg_dump would write it.
void grow(const Arguments& arguments, Growth& growth) {
    std::ifstream in(arguments.file, std::ios::binary);
    const std::uint64_t size = fs::file_size(arguments.file);
    const std::string path = arguments.file + ".growing";
    const Fd out = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    std::string block(static_cast<std::size_t>(size / std::max(1U, arguments.steps) + 1), '\0');
    std::uint64_t done = 0;
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
        const auto count = static_cast<std::size_t>(in.gcount());
        write_all(out, std::string_view(block).substr(0, count), path);
        growth.grown_to(done += count);
        std::this_thread::yield();
    }
}

Json upload(Client& client, const Arguments& arguments) {
    Growth growth;
    const bool growing = arguments.steps > 0;
    const std::string path = arguments.file + (growing ? ".growing" : "");
    std::vector<std::string> began;
    std::atomic<bool> has_begun = false;
    Uploader::Callbacks callbacks;
    callbacks.open = [&] { return open_regular(path); };
    callbacks.began = [&](const std::string& id) {
        began.push_back(id);
        std::fprintf(stderr, "began %s\n", id.c_str());
        has_begun = true;
    };
    const ObjectSpec spec = spec_of(client, arguments);
    Uploader uploader(client, spec, growth,
                      PartPlan(client.options().max_parts, arguments.first_part), callbacks);
    if (growing) {
        grow(arguments, growth);
    } else {
        growth.grown_to(fs::file_size(path));
    }
    if (arguments.give_up) {
        while (!has_begun && !uploader.problem()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        uploader.abort();
        return {{"aborted", began}};
    }
    growth.finished();
    std::thread canceller;
    if (arguments.cancel_begun) {
        canceller = std::thread([&] {
            while (!has_begun) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
            }
            arguments.token->cancel(Error(ErrorCode::cancelled, "asked to stop"));
        });
    }
    const auto ended = [&] {
        if (canceller.joinable()) {
            canceller.join();
        }
    };
    Uploaded uploaded;
    try {
        uploaded = uploader.complete();
    } catch (...) {
        ended();
        throw;
    }
    ended();
    Json out = proof_json(prove_lock(client, spec.key, uploaded.version_id, uploaded.expected,
                                     spec.lock, spec.legal_hold));
    out["parts"] = uploaded.parts;
    out["sha256"] = uploaded.expected.sha256;
    out["etag"] = uploaded.expected.etag;
    out["uploads"] = began;
    if (arguments.read_file) {
        Sha256 digest;
        client.get(spec.key, uploaded.version_id, [&](auto bytes) { digest.update(bytes); });
        out["read_back"] = digest.hex();
    }
    return out;
}

Json get(Client& client, const Arguments& arguments) {
    const Fd out = open_file(arguments.file, O_WRONLY | O_CREAT | O_TRUNC);
    const ObjectInfo info = client.get(
        arguments.key, arguments.version,
        [&](std::span<const std::byte> bytes) { write_all(out, bytes, arguments.file); });
    return {{"size", info.size}, {"version_id", info.version_id}};
}

Json decide(Client& client, const Arguments& arguments) {
    Sha256 digest;
    const Fd fd = open_regular(arguments.file);
    const auto size = read_blocks(fd, arguments.file, [&](auto bytes) { digest.update(bytes); });
    const KeyDecision decision =
        adopt_or_rename(client, arguments.stem, arguments.suffix, size, digest.hex());
    constexpr const char* kActions[] = {"upload", "adopt", "rename"};
    return {{"action", kActions[static_cast<int>(decision.action)]},
            {"key", decision.key},
            {"version_id", decision.version_id},
            {"reason", decision.reason}};
}

Json check(Client& client, const Arguments& arguments) {
    const Depth depth = arguments.depth == "quick"  ? Depth::quick
                        : arguments.depth == "full" ? Depth::full
                                                    : Depth::lock;
    Json out = Json::object();
    const auto rows = preflight(client, depth);
    for (const auto& row : rows) {
        out[row.check] = fmt::format("{}{}{}{}", answer_name(row.verdict), row.finding() ? "!" : "",
                                     row.detail.empty() ? "" : ": ", row.detail);
    }
    try {
        require_usable(rows);
        out["usable"] = true;
    } catch (const Error& error) {
        out["usable"] = error.message();
    }
    return out;
}

Json versions(Client& client, const Arguments& arguments) {
    Json out = Json::array();
    for (const auto& version : client.list_versions(arguments.key)) {
        out.push_back({{"key", version.key},
                       {"version_id", version.version_id},
                       {"latest", version.latest},
                       {"delete_marker", version.delete_marker},
                       {"size", version.size}});
    }
    return out;
}

Json list(Client& client, const Arguments& arguments) {
    Json out = Json::array();
    for (const auto& object : client.list(arguments.key)) {
        out.push_back({{"key", object.key}, {"size", object.size}});
    }
    return out;
}

Json uploads(Client& client, const Arguments& arguments) {
    Json out = Json::array();
    for (const auto& listed : client.list_uploads(arguments.key)) {
        out.push_back({{"key", listed.key}, {"upload_id", listed.upload_id}});
    }
    return out;
}

Json extend(Client& client, const Arguments& arguments) {
    const auto info = client.head(arguments.key, arguments.version);
    return proof_json(extend_lock(client, arguments.key, arguments.version,
                                  {info.value().size, info->sha256, info->etag},
                                  terms(client, arguments)));
}

Json hold(Client& client, const Arguments& arguments) {
    client.put_legal_hold(arguments.key, arguments.version, arguments.hold);
    return {{"legal_hold",
             client.read_lock(arguments.key, arguments.version).legal_hold == Reading::held}};
}

Json remove(Client& client, const Arguments& arguments) {
    const StoreError error = client.try_delete(arguments.key, arguments.version);
    return {{"status", error.status}, {"code", error.code}};
}

Json who(Client& client, const Arguments& /*arguments*/) {
    return {{"source", client.credentials().source}, {"region", client.region()}};
}

void add_options(CLI::App& app, Arguments& a) {
    app.add_option("--bucket", a.s3.bucket)->required();
    app.add_option("--prefix", a.s3.prefix);
    app.add_option("--endpoint", a.s3.endpoint_url);
    app.add_option("--region", a.s3.region);
    app.add_option("--addressing", a.addressing)->check(CLI::IsMember({"auto", "path", "virtual"}));
    app.add_option("--ca-file", a.s3.ca_file);
    app.add_option("--mode", a.mode);
    app.add_option("--storage-class", a.s3.storage_class);
    app.add_option("--kms", a.s3.kms_key_id);
    app.add_option("--max-parts", a.s3.max_parts);
    app.add_option("--concurrency", a.s3.concurrency);
    app.add_option("--bandwidth", a.s3.bandwidth_limit);
    app.add_option("--connect-timeout", a.connect_timeout);
    app.add_option("--stall-timeout", a.stall_timeout);
    app.add_option("--deadline", a.deadline);
    app.add_option("--lock-seconds", a.lock_seconds);
    app.add_flag("--hold", a.hold);
    app.add_flag("--if-absent", a.if_absent);
    app.add_option("--first-part", a.first_part);
    app.add_option("--grow", a.steps);
    app.add_flag("--give-up", a.give_up);
    app.add_flag("--cancel-when-begun", a.cancel_begun);
    app.add_flag("--read-back", a.read_file);
}

void apply(Arguments& a) {
    a.s3.lock_mode = parse_lock_mode(a.mode).value_or(LockMode::none);
    a.s3.addressing = a.addressing == "path"      ? Addressing::path
                      : a.addressing == "virtual" ? Addressing::virtual_host
                                                  : Addressing::automatic;
    a.s3.connect_timeout = std::chrono::seconds(a.connect_timeout);
    a.s3.stall_timeout = std::chrono::seconds(a.stall_timeout);
    a.s3.deadline = std::chrono::seconds(a.deadline);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("the S3 library, one operation at a time");
    Arguments arguments;
    std::function<Json(Client&, const Arguments&)> act;
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    add_options(app, arguments);
    app.require_subcommand(1);
    app.fallthrough();
    const auto command = [&](const char* name, auto function) {
        CLI::App* sub = app.add_subcommand(name);
        sub->callback([&act, function] { act = function; });
        return sub;
    };
    for (auto [name, function] : {std::pair{"put", &put}, {"upload", &upload}, {"get", &get}}) {
        CLI::App* sub = command(name, function);
        sub->add_option("key", arguments.key)->required();
        sub->add_option("file", arguments.file)->required();
        sub->add_option("--version", arguments.version);
    }
    CLI::App* decision = command("decide", &decide);
    decision->add_option("stem", arguments.stem)->required();
    decision->add_option("suffix", arguments.suffix)->required();
    decision->add_option("file", arguments.file)->required();
    command("preflight", &check)->add_option("--depth", arguments.depth);
    for (auto [name, function] :
         {std::pair{"versions", &versions}, {"list", &list}, {"uploads", &uploads}}) {
        command(name, function)->add_option("prefix", arguments.key);
    }
    for (auto [name, function] :
         {std::pair{"extend", &extend}, {"hold", &hold}, {"delete", &remove}}) {
        CLI::App* sub = command(name, function);
        sub->add_option("key", arguments.key)->required();
        sub->add_option("version", arguments.version)->required();
    }
    command("who", &who);
    CLI11_PARSE(app, argc, argv);
    try {
        apply(arguments);
        CancelToken cancel;
        arguments.token = &cancel;
        Client client(arguments.s3,
                      system_credential_inputs(
                          arguments.s3.region.empty() ? "us-east-1" : arguments.s3.region,
                          arguments.s3.ca_file, cancel),
                      cancel);
        std::puts(act(client, arguments).dump().c_str());
        return 0;
    } catch (const Error& error) {
        std::fprintf(stderr, "error: %s: %s\n%s\n%s\n",
                     std::string(error_code_name(error.code())).c_str(), error.what(),
                     error.detail().c_str(), error.hint().c_str());
        return error.exit_code();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
