// Local time, by the system's time zone database. Only for the sources of this folder: everybody
// else says what they need in terms of core/schedule.h and core/retention.h.
#pragma once

#include <date/tz.h>

#include <string>
#include <string_view>

namespace immbackup {

// A time zone; UTC, which also works where the system has no time zone database.
class Zone {
  public:
    // Throws what the library throws where it does not know the name.
    explicit Zone(std::string_view name)
        : zone_(name.empty() || name == "UTC" ? nullptr : date::locate_zone(std::string(name))) {}

    date::local_seconds to_local(date::sys_seconds time) const {
        return zone_ != nullptr ? zone_->to_local(time)
                                : date::local_seconds{time.time_since_epoch()};
    }
    // In a gap the first instant after it, in an overlap the first occurrence.
    date::sys_seconds first_instant(date::local_seconds local) const {
        if (zone_ == nullptr) {
            return date::sys_seconds{local.time_since_epoch()};
        }
        const date::local_info info = zone_->get_info(local);
        return info.result == date::local_info::nonexistent
                   ? info.first.end
                   : date::sys_seconds{local.time_since_epoch() - info.first.offset};
    }

  private:
    const date::time_zone* zone_;
};

}  // namespace immbackup
