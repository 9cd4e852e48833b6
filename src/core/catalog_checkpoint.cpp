// The catalog's checkpoint. A server process reads it, perhaps in each query, and it grows with the
// years: so it is lines of tab separated fields and not JSON, and every field is named in one
// place, which writes and reads. The reader takes nothing that the writer would not have written.

#include <algorithm>
#include <charconv>

#include "core/catalog.h"
#include "core/digest.h"
#include "core/names.h"

namespace immbackup {

namespace {

constexpr std::string_view kMagic = "immbackup-catalog 6 ";

// Control characters and '%' as %XX: everything else stays readable.
void append_escaped(std::string& out, std::string_view text) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F || c == '%') {
            out += '%';
            out += kDigits[byte >> 4U];
            out += kDigits[byte & 15U];
        } else {
            out += c;
        }
    }
}

int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool unescape(std::string_view text, std::string& out) {
    out.clear();
    if (text.find('%') == std::string_view::npos) {
        out = text;
        return true;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        const int low = high < 0 ? -1 : hex_digit(text[i + 2]);
        if (low < 0) {
            return false;
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return true;
}

class Writer {
  public:
    explicit Writer(std::string& out) : out_(out) {}
    void operator()(const std::string& value) {
        out_ += '\t';
        append_escaped(out_, value);
    }
    void operator()(bool value) { out_ += value ? "\t1" : "\t0"; }
    void operator()(std::uint64_t value) { (out_ += '\t') += std::to_string(value); }
    void operator()(std::int64_t value) { (out_ += '\t') += std::to_string(value); }
    void operator()(const std::optional<ErrorText>& value) {
        (*this)(value.has_value());
        const ErrorText none;
        const ErrorText& error = value ? *value : none;
        (*this)(error.code);
        (*this)(error.message);
        (*this)(error.detail);
        (*this)(error.hint);
    }

  private:
    std::string& out_;
};

class Reader {
  public:
    explicit Reader(std::string_view fields) : rest_(fields) {}
    void operator()(std::string& value) {
        const std::string_view word = next();
        good_ = good_ && unescape(word, value);
    }
    void operator()(bool& value) {
        const std::string_view word = next();
        good_ = good_ && (word == "0" || word == "1");
        value = word == "1";
    }
    template <class Number>
    requires std::is_integral_v<Number>
    void operator()(Number& value) {
        const std::string_view word = next();
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        good_ = good_ && error == std::errc{} && end == word.data() + word.size() && !word.empty();
    }
    void operator()(std::optional<ErrorText>& value) {
        bool present = false;
        ErrorText error;
        (*this)(present);
        (*this)(error.code);
        (*this)(error.message);
        (*this)(error.detail);
        (*this)(error.hint);
        if (present) {
            value = std::move(error);
        }
    }
    bool complete() const { return good_ && rest_.empty(); }

  private:
    // Each field begins with its tab.
    std::string_view next() {
        if (rest_.empty() || rest_.front() != '\t') {
            good_ = false;
            return {};
        }
        rest_.remove_prefix(1);
        const auto end = std::min(rest_.find('\t'), rest_.size());
        const std::string_view word = rest_.substr(0, end);
        rest_.remove_prefix(end);
        return word;
    }
    std::string_view rest_;
    bool good_ = true;
};

// The fields of each kind of line, in their order; for entries to be written and to be read.
template <class Fields, class Run>
void run_fields(Fields& each, Run& run) {
    each(run.run);
    each(run.requested);
    each(run.started);
    each(run.finished);
    each(run.state);
    each(run.trigger);
    each(run.actor);
    each(run.due);
    each(run.partial);
    each(run.artifacts);
    each(run.bytes);
    each(run.error);
}

template <class Fields, class Artifact>
void artifact_fields(Fields& each, Artifact& entry) {
    each(entry.artifact);
    each(entry.run);
    each(entry.database);
    each(entry.globals);
    each(entry.tier);
    each(entry.taken);
    each(entry.retain_until);
    each(entry.size);
    each(entry.sql_size);
    each(entry.rows);
    each(entry.sha256);
    each(entry.seal);
    each(entry.state);
    each(entry.verified);
    each(entry.seq);
    each(entry.stamp);
    each(entry.anomaly);
    each(entry.accepted);
    each(entry.hold);
    each(entry.held);
    each(entry.held_by);
    each(entry.intended);
    each(entry.pruned);
    each(entry.upload);
    each(entry.upload_error);
    each(entry.upload_tried);
    each(entry.upload_tries);
    each(entry.lock_mode);
    each(entry.locked_until);
    each(entry.objects);
    each(entry.legal_hold);
    each(entry.vault_until);
    each(entry.refused);
}

template <class Fields, class State>
void catalog_fields(Fields& each, State& catalog) {
    each(catalog.instance);
    each(catalog.bad_lines);
    each(catalog.last_run);
    each(catalog.last_success);
    each(catalog.last_success_run);
    each(catalog.last_error);
    each(catalog.last_error_run);
    each(catalog.promise.schedule);
    each(catalog.promise.timezone);
    each(catalog.promise.active);
    each(catalog.promise.since);
    each(catalog.served);
    each(catalog.last_full_run);
    each(catalog.last_full_seq);
    each(catalog.covered);
    each(catalog.failures);
    each(catalog.unacknowledged);
    each(catalog.unacknowledged_since);
    each(catalog.anchored_seq);
    each(catalog.anchored);
    each(catalog.anchor_state);
    each(catalog.locks_tried);
    each(catalog.lock_problem);
    each(catalog.lock_days);
    each(catalog.clock_acknowledged);
    each(catalog.misconfigured);
    each(catalog.vault.level);
    each(catalog.vault.reason);
    each(catalog.vault.clock);
    each(catalog.vault.clock_reason);
    each(catalog.vault.version);
}

template <class Fields, class State>
void clock_fields(Fields& each, State& clock) {
    each(clock.boot_id);
    each(clock.monotonic_ms);
    each(clock.wall);
    each(clock.jumped_ms);
    each(clock.drift_ms);
    each(clock.newest);
    each(clock.boot_seq);
    each(clock.steady_ms);
}

std::string checkpoint_lines(const Catalog& catalog) {
    std::string out = "catalog";
    Writer writer(out);
    catalog_fields(writer, catalog);
    out += "\nclock";
    clock_fields(writer, catalog.clock.fields());
    for (const auto& [name, value] : catalog.settings) {
        out += "\nsetting";
        writer(name);
        writer(value);
    }
    for (const auto& [database, retired] : catalog.retired) {
        out += "\nretired";
        writer(database);
        writer(retired.time);
        writer(retired.reason);
    }
    for (const auto& [id, upload] : catalog.open_uploads) {
        out += "\nupload";
        writer(id);
        writer(upload.artifact);
        writer(upload.key);
    }
    for (const auto& [stem, until] : catalog.attested) {
        out += "\nattested";
        writer(stem);
        writer(until);
    }
    for (const auto& [id, run] : catalog.runs) {
        out += "\nrun";
        run_fields(writer, run);
    }
    for (const auto& [stem, entry] : catalog.artifacts) {
        out += "\nartifact";
        artifact_fields(writer, entry);
    }
    return out + "\nend\n";
}

// False where it is not a line of its kind.
bool read_line(Catalog& catalog, std::string_view kind, std::string_view fields) {
    Reader reader(fields);
    if (kind == "artifact") {
        ArtifactEntry entry;
        artifact_fields(reader, entry);
        const std::string stem = entry.artifact;
        catalog.artifacts.emplace_hint(catalog.artifacts.end(), stem, std::move(entry));
        return reader.complete() && parse_stem(stem).has_value();
    }
    if (kind == "run") {
        RunEntry run;
        run_fields(reader, run);
        const std::string id = run.run;
        catalog.runs.emplace_hint(catalog.runs.end(), id, std::move(run));
        return reader.complete() && parse_run_id(id).has_value();
    }
    if (kind == "catalog") {
        catalog_fields(reader, catalog);
    } else if (kind == "clock") {
        ClockState::Fields clock;
        clock_fields(reader, clock);
        if (!catalog.clock.restore(std::move(clock))) {
            return false;
        }
    } else if (kind == "setting") {
        std::string name;
        reader(name);
        reader(catalog.settings[name]);
    } else if (kind == "attested") {
        std::string stem;
        reader(stem);
        reader(catalog.attested[stem]);
    } else if (kind == "upload") {
        std::string id;
        reader(id);
        Catalog::OpenUpload& upload = catalog.open_uploads[id];
        reader(upload.artifact);
        reader(upload.key);
    } else if (kind == "retired") {
        std::string database;
        reader(database);
        Catalog::Retired& retired = catalog.retired[database];
        reader(retired.time);
        reader(retired.reason);
    } else {
        return false;
    }
    return reader.complete();
}

// Takes the next space-separated word off the first line.
std::string_view next_word(std::string_view& line) {
    const auto end = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
}

std::optional<std::uint64_t> parse_count(std::string_view word) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::string catalog_to_checkpoint(const Catalog& catalog) {
    const std::string rest = checkpoint_lines(catalog);
    return std::string(kMagic) + std::to_string(catalog.offset) + " " +
           std::to_string(catalog.head_seq) + " " + catalog.head_hash + " " + sha256_hex(rest) +
           "\n" + rest;
}

std::optional<Catalog> catalog_from_checkpoint(std::string_view content) {
    const auto end = content.find('\n');
    if (content.size() > kMaxCheckpoint || !content.starts_with(kMagic) ||
        end == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view head = content.substr(kMagic.size(), end - kMagic.size());
    std::string_view rest = content.substr(end + 1);
    Catalog catalog;
    const auto offset = parse_count(next_word(head));
    const auto seq = parse_count(next_word(head));
    catalog.head_hash = std::string(next_word(head));
    if (!offset || !seq || !is_sha256_hex(catalog.head_hash) || head != sha256_hex(rest)) {
        return std::nullopt;
    }
    catalog.offset = *offset;
    catalog.head_seq = *seq;
    while (!rest.empty() && rest != "end\n") {
        const auto newline = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, newline);
        const auto tab = std::min(line.find('\t'), line.size());
        if (!read_line(catalog, line.substr(0, tab), line.substr(tab))) {
            return std::nullopt;
        }
        rest.remove_prefix(std::min(newline + 1, rest.size()));
    }
    return rest.empty() ? std::nullopt : std::optional(std::move(catalog));
}

}  // namespace immbackup
