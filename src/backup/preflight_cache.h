// That bucket, store and credentials could be used is remembered for an hour, so that runs close to
// each other do not ask the store again. Only a good answer is remembered; other settings, other
// credentials or an upload that failed end it. Nothing of a lock's proof rests on it.
#pragma once

#include <string>

#include "core/time.h"
#include "s3/client.h"
#include "store/layout.h"

namespace immbackup {

class PreflightCache {
  public:
    PreflightCache(const Layout& layout, const s3::S3Options& options,
                   const std::string& access_key);

    // False as well for what cannot be read.
    bool is_fresh(Time now) const;
    // A file that cannot be written only means that the next run asks again.
    void remember(Time now) const noexcept;
    static void forget(const Layout& layout) noexcept;

  private:
    std::filesystem::path path_;
    std::string for_;  // digest of all that the answer depends on
};

}  // namespace immbackup
