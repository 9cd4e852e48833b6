// The settings of core/settings.h as PostgreSQL's: immbackup.<name>. Defined only where the library
// is preloaded.
//
// A value from the environment is the boot value and is also set with the source "environment
// variable". A value that is refused at start never stops the server and never turns into a silent
// default: configuration_problem() then says so, until it is taken back.
#pragma once

#include <optional>
#include <string>

#include "core/settings.h"

namespace immbackup {

// From _PG_init while preloading.
void define_settings();

struct ConfigurationProblem {
    std::string message;
    std::string detail;
    std::string hint;
    bool directory = false;  // the directory itself is not known: nothing can be recorded
};

// From C++ frames. Why no run may be taken with the settings as they are; looks into the
// configuration files only where one of their values was refused at start.
std::optional<ConfigurationProblem> configuration_problem();

// The settings as PostgreSQL has them, in their base units.
SettingTexts configured_settings();
// The same, with host and port of this very server filled in where none is set.
SettingTexts settings_in_effect();
// immbackup.directory alone.
const char* configured_directory();

}  // namespace immbackup
