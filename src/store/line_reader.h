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

using Interrupt = std::function<void()>;

class LineReader {
  public:
    struct Line {
        std::string text;         // without newline; at most kMaxAuditLine + 1 bytes are kept
        std::uint64_t bytes = 0;  // of the line in the file, with its newline
        bool terminated = false;
    };
    // What to do with a last line that has no newline: it may be on its way, since a long write
    // becomes visible in pieces. Only who holds the log's lock knows that it is not.
    enum class LastLine { as_it_is, may_grow };

    // Reads [offset, end) with pread; the descriptor's own position is not used. `interrupt` is
    // called every so many bytes, also within one endless line, and may throw.
    LineReader(const Fd& fd, fs::path path, std::uint64_t offset, std::uint64_t end,
               Interrupt interrupt = {}, LastLine last_line = LastLine::as_it_is);
    bool next(Line& line);

  private:
    static constexpr std::size_t kBlock = 64 * 1024;
    bool fill();
    bool grown();

    const Fd& fd_;
    fs::path path_;
    std::uint64_t offset_;
    std::uint64_t end_;
    Interrupt interrupt_;
    int patience_;  // how often grown() may still look again
    std::uint64_t blocks_ = 0;
    std::vector<char> buffer_;
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
};

// Folds the whole lines from catalog.offset to the end of the log.
void fold_log(Catalog& catalog, const Fd& log, const Layout& layout,
              const Interrupt& interrupt = {});
// The log opened for reading; an empty Fd where there is none.
Fd open_log(const Layout& layout);
// The checkpoint where it fits the log, otherwise an empty catalog.
Catalog load_checkpoint(const Layout& layout, const Fd& log);

}  // namespace immbackup
