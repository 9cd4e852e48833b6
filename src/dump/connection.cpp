#include "dump/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "core/error.h"
#include "io/fd.h"

namespace immbackup {

namespace {

Error password_file_error(const std::string& path, const std::string& why,
                          const std::string& hint) {
    return {ErrorCode::config,
            fmt::format("could not read password file \"{}\": {}", path, why),
            {},
            hint};
}

constexpr const char* kContentHint =
    "The file must hold the password and nothing else; one newline at its end is ignored.";

}  // namespace

// Links are followed and modes are not judged: secrets of containers are links, or mode 0444.
std::string read_password_file(const std::string& path) {
    // Not blocking, or opening a FIFO would wait for a writer.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd) {
        const int reason = errno;
        throw password_file_error(
            path, std::generic_category().message(reason),
            reason == EACCES
                ? fmt::format("Make it readable for the user that the server runs as (uid {}).",
                              ::geteuid())
                : "Create the file, or change the setting immbackup.password_file "
                  "(DB_PASSWORD_FILE).");
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        throw password_file_error(path, "it is not a regular file", kContentHint);
    }
    std::string password(kMaxPasswordFile + 1, '\0');
    std::size_t size = 0;
    while (size < password.size()) {
        const ssize_t count = ::read(fd.get(), password.data() + size, password.size() - size);
        if (count < 0 && errno != EINTR) {
            throw password_file_error(path, std::generic_category().message(errno), kContentHint);
        }
        if (count == 0) {
            break;
        }
        size += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    password.resize(size);
    if (size > kMaxPasswordFile) {
        throw password_file_error(path, fmt::format("it is longer than {} bytes", kMaxPasswordFile),
                                  kContentHint);
    }
    if (password.ends_with('\n')) {
        password.pop_back();
    }
    if (password.empty()) {
        throw password_file_error(path, "it is empty", kContentHint);
    }
    if (password.find('\0') != std::string::npos) {
        throw password_file_error(path, "it holds a zero byte", kContentHint);
    }
    return password;
}

const std::vector<std::string>& foreign_connection_variables() {
    static const std::vector<std::string> kVariables = {
        "PGDATABASE",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGHOSTADDR",
        "PGOPTIONS",
        "PGCLIENTENCODING",
        "PGTARGETSESSIONATTRS",
        "PGLOADBALANCEHOSTS",
        "PGDATESTYLE",
        "PGTZ",
        "PGGEQO",
        "PG_COLOR",
        "PG_COLORS",
    };
    return kVariables;
}

ConnectionTarget ConnectionTarget::from_settings(const Settings& settings) {
    for (const std::string& variable : foreign_connection_variables()) {
        ::unsetenv(variable.c_str());
    }
    ConnectionTarget target;
    target.host = settings.host;
    target.port = settings.port;
    target.username = settings.username;
    if (!settings.password_file.empty()) {
        target.password = read_password_file(settings.password_file);
    }
    return target;
}

std::map<std::string, std::string> ConnectionTarget::environment(
    const std::string& application) const {
    std::map<std::string, std::string> variables = {
        {"PGAPPNAME", application},
        {"PGCONNECT_TIMEOUT", "30"},
        {"LC_ALL", "C"},
    };
    const std::array<std::pair<const char*, const std::string*>, 4> given = {{
        {"PGHOST", &host},
        {"PGPORT", &port},
        {"PGUSER", &username},
        {"PGPASSWORD", &password},
    }};
    for (const auto& [name, value] : given) {
        if (!value->empty()) {  // otherwise libpq's default
            variables.emplace(name, *value);
        }
    }
    return variables;
}

std::string connection_string(const std::string& database) {
    std::string text = "dbname='";
    for (const char c : database) {
        if (c == '\'' || c == '\\') {
            text += '\\';
        }
        text += c;
    }
    return text + '\'';
}

}  // namespace immbackup
