// Cron expressions and the times they mean, in a time zone.
//
// Syntax as in crontab(5) and pg_cron: minute, hour, day of month, month, day of week; lists,
// ranges, steps on `*` and on ranges, English names, 7 = Sunday; where both day fields are
// restricted (do not begin with `*`) either one is enough. @hourly, @daily, @midnight, @weekly,
// @monthly, @yearly, @annually; not @reboot. Several expressions are separated by semicolons.
//
// Daylight saving time, by Vixie cron's rule: where the minute or the hour field begins with `*`,
// every real minute that matches counts: skipped in a gap, repeated in an overlap. Otherwise the
// times that fall into a gap are one time, the first instant after it, and those in an overlap
// count where they occur first.
//
// The time zone library knows the changes that the system's database lists, in Debian's up to 2037.
// It does not read the rule for the time after them: from then on the last offset stays.
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/time.h"

namespace immbackup {

class Schedule {
  public:
    // Error(config) with a sentence that says which field is wrong and why, or that the zone is
    // unknown. An empty timezone is UTC.
    static Schedule parse(std::string_view text, std::string_view timezone);

    // The first due time strictly after `time`, a whole minute of UTC; nothing where there is none
    // within forty years.
    std::optional<Time> next_after(Time time) const;

  private:
    struct Expression {
        std::bitset<60> minutes;
        std::bitset<24> hours;
        std::bitset<32> days;     // of month, from 1
        std::bitset<13> months;   // from 1
        std::bitset<7> weekdays;  // Sunday is 0
        bool any_day = false;     // the field begins with `*`
        bool any_weekday = false;
        bool every_real_minute = false;  // the minute or hour field begins with `*`
    };
    static Expression parse_expression(std::string_view text);
    static bool date_matches(const Expression& expression, unsigned month, unsigned day,
                             unsigned weekday);
    std::optional<Time> next_real_minute(const Expression& expression, Time time) const;
    std::optional<Time> next_fixed_time(const Expression& expression, Time time) const;

    std::vector<Expression> expressions_;
    std::string timezone_;
};

// Why the text is no schedule, a sentence; nothing where it is one.
std::optional<std::string> schedule_problem(std::string_view text);
// The same for the name of a time zone (empty is fine: UTC).
std::optional<std::string> timezone_problem(std::string_view name);

}  // namespace immbackup
