// Lines of the audit log in bounded memory, and the parts that reader and writer of the log share.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/catalog.h"
#include "io/fd.h"
#include "io/file.h"
#include "store/layout.h"

namespace immbackup {

class LineReader {
  public:
    struct Line {
        std::string text;         // without newline; at most kMaxAuditLine + 1 bytes are kept
        std::uint64_t bytes = 0;  // of the line in the file, with its newline
        bool terminated = false;
    };
    // Reads [offset, end) with pread; the descriptor's own position is not used.
    LineReader(const Fd& fd, fs::path path, std::uint64_t offset, std::uint64_t end);
    bool next(Line& line);

  private:
    static constexpr std::size_t kBlock = 64 * 1024;
    bool fill();

    const Fd& fd_;
    fs::path path_;
    std::uint64_t offset_;
    std::uint64_t end_;
    std::vector<char> buffer_;
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
};

// The log opened for reading; an empty Fd where there is none.
Fd open_log(const Layout& layout);
// The checkpoint where it fits the log, otherwise an empty catalog.
Catalog load_checkpoint(const Layout& layout, const Fd& log);
// Folds the whole lines from catalog.offset to the end of the log.
void fold_from(Catalog& catalog, const Fd& log, const Layout& layout,
               const std::function<void()>& interrupt);

}  // namespace immbackup
