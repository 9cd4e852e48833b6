#include "store/vault_put.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "io/clock.h"

namespace immbackup {

VaultPut::VaultPut(std::string helper, Staging staging, std::chrono::seconds latest)
    : helper_(std::move(helper)), staging_(std::move(staging)), latest_(latest) {}

// The helper syncs and reads back whole artifacts: as long as a slow disk may take.
int VaultPut::patience_ms() const {
    constexpr std::uint64_t kAlwaysMs = 600'000;
    constexpr std::uint64_t kBytesPerMs = 5'000;
    constexpr std::uint64_t kMost = 24ULL * 3600 * 1000;
    return static_cast<int>(std::min(kAlwaysMs + size_ / kBytesPerMs, kMost));
}

void VaultPut::begin() {
    client_ = std::make_unique<VaultClient>(helper_);
    client_->watch(staging_.cancel);
    const Time until = now() + std::min(staging_.keep, latest_);
    VaultAnswer answer = client_->ask(
        "put" + vault_field("stem", staging_.stem) + vault_field("database", staging_.subject) +
        vault_field("retain_until", format_time(until)) +
        (staging_.format == DumpFormat::zstd ? vault_field("format", "zstd") : "") + " reader=1");
    promised_ = parse_time(answer.text("retain_until"));
    if (!promised_ || !answer.descriptor) {
        throw Error(ErrorCode::version,
                    "the vault's helper did not say until when it keeps the artifact, or gave "
                    "nothing to read it by",
                    {},
                    "Install helper and extension of the same version: `make install "
                    "install-vault`.");
    }
    reader_ = std::move(answer.descriptor);
}

void VaultPut::write(std::span<const std::byte> bytes) {
    if (!client_) {
        begin();
    }
    client_->write_content(bytes);
    digest_.update(bytes);
    size_ += bytes.size();
}

void VaultPut::prove(const CancelToken& cancel) {
    if (!client_) {
        begin();
    }
    sha256_ = digest_.hex();
    client_->watch(&cancel);
    client_->commit(size_, sha256_);
    const VaultAnswer answer = client_->read_answer(patience_ms());
    if (answer.number("size") != size_ || answer.text("sha256") != sha256_) {
        throw Error(ErrorCode::corrupt,
                    fmt::format("the vault has other content than was sent to it for \"{}\"",
                                staging_.stem),
                    fmt::format("{} bytes with digest {} were sent, {} bytes with digest {} came.",
                                size_, sha256_, answer.text("size"), answer.text("sha256")));
    }
}

// A descriptor of its own, but one position for all: readers use pread().
Fd VaultPut::reader() const {
    Fd copy(reader_ ? ::fcntl(reader_.get(), F_DUPFD_CLOEXEC, 0) : -1);
    if (!copy) {
        throw system_error(reader_ ? errno : EBADF, "read what goes into the vault", staging_.stem);
    }
    return copy;
}

void VaultPut::publish(const std::string& manifest, SealLevel level) {
    client_->watch(nullptr);  // what is as good as done is finished
    client_->write_content(std::as_bytes(std::span(manifest.data(), manifest.size())));
    client_->commit(manifest.size(), sha256_hex(manifest));
    const VaultAnswer answer = client_->read_answer(patience_ms());
    client_.reset();
    const auto reached = seal_level_from_name(answer.text("level"));
    if (!reached || *reached < level) {
        throw Error(ErrorCode::permission,
                    fmt::format("artifact {} was sealed as \"{}\" only, and not as \"{}\"",
                                staging_.stem, answer.text("level"), seal_level_name(level)),
                    "The vault lost what it needs for the stronger seal while it was written.",
                    "\"immbackup check --vault\" says why.");
    }
}

}  // namespace immbackup
