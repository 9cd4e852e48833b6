#include "dump/session.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/error.h"

namespace immbackup {

namespace {

std::string trimmed(std::string_view text) {
    const auto end = text.find_last_not_of(" \n\t");
    return std::string(text.substr(0, end == std::string_view::npos ? 0 : end + 1));
}

// Verbose messages carry the SQLSTATE, which libpq tells in no other way while connecting:
// "… FATAL:  57P03: the database system is shutting down\nLOCATION:  …". Takes it out again.
std::string take_sqlstate(std::string& message) {
    constexpr std::size_t kStateLength = 5;
    const auto location = message.find("\nLOCATION:");
    if (location != std::string::npos) {
        message.erase(location);
    }
    for (const std::string_view severity : {"FATAL:  ", "ERROR:  "}) {
        const auto at = message.rfind(severity);
        if (at == std::string::npos) {
            continue;
        }
        const auto begin = at + severity.size();
        const std::string state = message.substr(begin, kStateLength);
        const bool looks_right =
            state.size() == kStateLength && message.compare(begin + kStateLength, 2, ": ") == 0 &&
            std::all_of(state.begin(), state.end(),
                        [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
        if (looks_right) {
            message.erase(begin, kStateLength + 2);
            return state;
        }
    }
    return {};
}

bool is_shutdown(std::string_view state, std::string_view message) {
    return state == "57P01" || state == "57P02" ||
           (state == "57P03" && message.find("shutting down") != std::string_view::npos);
}

ErrorCode code_of_state(std::string_view state, std::string_view message, ErrorCode otherwise) {
    if (is_shutdown(state, message)) {
        return ErrorCode::cancelled;
    }
    if (state == "3D000") {
        return ErrorCode::not_found;
    }
    if (state == "42501" || state == "55000") {  // no right to connect; connections not allowed
        return ErrorCode::permission;
    }
    if (state == "42P04" || state == "42710") {
        return ErrorCode::exists;
    }
    if (state == "53100") {
        return ErrorCode::no_space;
    }
    return otherwise;
}

std::string connect_failure(ErrorCode code, std::string_view state, const std::string& database) {
    if (code == ErrorCode::cancelled) {
        return "the server is shutting down";
    }
    if (state == "57P03") {
        return "the server is starting up and does not accept connections yet";
    }
    return fmt::format("could not connect to database \"{}\"", database);
}

std::string connect_hint(std::string_view state) {
    if (state == "57P03") {
        return "Try again when it has started.";
    }
    if (state.starts_with("28")) {  // invalid authorization
        return "Check the user name, the password file and the server's pg_hba.conf.";
    }
    if (state.empty()) {  // no answer from a server at all
        return "Check that the server is running, and its host and port.";
    }
    return {};
}

}  // namespace

std::string quote_identifier(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        out += c;
        if (c == '"') {
            out += c;
        }
    }
    return out + "\"";
}

std::string quote_literal(std::string_view text) {
    // E'' with doubled backslashes means the same whatever standard_conforming_strings is.
    std::string out = text.find('\\') == std::string_view::npos ? "'" : "E'";
    for (const char c : text) {
        out += c;
        if (c == '\'' || c == '\\') {
            out += c;
        }
    }
    return out + "'";
}

void Session::Close::operator()(pg_conn* connection) const {
    PQfinish(connection);
}

Session::Session(const ConnectionTarget& target, const std::string& database,
                 const CancelToken& cancel)
    : cancel_(cancel) {
    connect(target, database);
}

Session::~Session() = default;

void Session::connect(const ConnectionTarget& target, const std::string& database) {
    struct Parameter {
        const char* name;
        const char* value;
    };
    const std::array<Parameter, 9> parameters{{
        {"host", target.host.c_str()},
        {"port", target.port.c_str()},
        {"user", target.username.c_str()},
        {"password", target.password.c_str()},
        {"dbname", database.c_str()},
        {"application_name", "immbackup"},
        {"connect_timeout", "30"},
        {"options",
         "-c search_path=pg_catalog -c statement_timeout=0 -c lock_timeout=0 "
         "-c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off"},
        {"client_encoding", "UTF8"},
    }};
    std::vector<const char*> names;
    std::vector<const char*> values;
    for (const auto& parameter : parameters) {
        if (*parameter.value != '\0') {  // empty: libpq's own default
            names.push_back(parameter.name);
            values.push_back(parameter.value);
        }
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    // expand_dbname 0: a database called "host=elsewhere" is a name, not a connection string.
    connection_.reset(PQconnectStartParams(names.data(), values.data(), 0));
    if (!connection_) {
        throw std::bad_alloc();
    }
    PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (PQstatus(connection_.get()) != CONNECTION_BAD && status != PGRES_POLLING_OK &&
           status != PGRES_POLLING_FAILED) {
        wait_for_socket(status == PGRES_POLLING_WRITING);
        status = PQconnectPoll(connection_.get());
    }
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
        std::string message = trimmed(PQerrorMessage(connection_.get()));
        const std::string state = take_sqlstate(message);
        const ErrorCode code = code_of_state(state, message, ErrorCode::connect);
        const Error error(code, connect_failure(code, state, database), message,
                          connect_hint(state));
        // Without a state nobody answered, unless a password was asked for that there is none of.
        const bool silent = state.empty() && PQconnectionNeedsPassword(connection_.get()) == 0;
        if (silent || state == "57P03" || is_shutdown(state, message)) {
            throw NotReady(error);
        }
        throw Error(error);
    }
}

void Session::wait_for_socket(bool writing) const {
    constexpr int kWaitMs = 30'000;  // connect_timeout is not honoured by the polling interface
    const short events = writing ? POLLOUT : POLLIN;
    std::array<pollfd, 2> waits{
        {{PQsocket(connection_.get()), events, 0}, {cancel_.fd(), POLLIN, 0}}};
    const bool connecting = PQstatus(connection_.get()) != CONNECTION_OK;
    const int ready = ::poll(waits.data(), waits.size(), connecting ? kWaitMs : -1);
    if (ready < 0 && errno != EINTR) {
        throw system_error(errno, "wait for the server");
    }
    cancel_.check();
    if (ready == 0) {
        throw NotReady(ErrorCode::connect, "could not connect to the server: it does not answer");
    }
}

void Session::stop_query() const {
    std::array<char, 256> ignored{};
    PGcancel* cancel = PQgetCancel(connection_.get());
    if (cancel != nullptr) {
        PQcancel(cancel, ignored.data(), static_cast<int>(ignored.size()));
        PQfreeCancel(cancel);
    }
}

std::vector<Session::Row> Session::query(const char* what, const std::string& sql,
                                         const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters) {
        values.push_back(parameter.c_str());
    }
    pg_conn* connection = connection_.get();
    int sent = PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()), nullptr,
                                 values.data(), nullptr, nullptr, 0);
    while (sent == 1 && PQisBusy(connection) == 1) {
        try {
            wait_for_socket(false);
        } catch (const Error&) {
            stop_query();
            throw;
        }
        sent = PQconsumeInput(connection);
    }
    std::vector<Row> rows;
    std::optional<Error> problem;
    if (sent != 1) {
        std::string message = trimmed(PQerrorMessage(connection));
        const std::string state = take_sqlstate(message);
        problem = Error(code_of_state(state, message, ErrorCode::connect),
                        fmt::format("could not {}", what), message);
    }
    while (PGresult* next = PQgetResult(connection)) {
        const std::unique_ptr<PGresult, decltype(&PQclear)> result(next, &PQclear);
        const ExecStatusType status = PQresultStatus(next);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            const char* state = PQresultErrorField(next, PG_DIAG_SQLSTATE);
            const char* primary = PQresultErrorField(next, PG_DIAG_MESSAGE_PRIMARY);
            const std::string message =
                primary != nullptr ? primary : trimmed(PQresultErrorMessage(next));
            problem =
                Error(code_of_state(state != nullptr ? state : "", message, ErrorCode::failed),
                      fmt::format("could not {}", what), message);
            continue;
        }
        for (int row = 0; row < PQntuples(next); ++row) {
            Row& out = rows.emplace_back();
            for (int column = 0; column < PQnfields(next); ++column) {
                if (PQgetisnull(next, row, column) == 1) {
                    out.emplace_back(std::nullopt);
                } else {
                    out.emplace_back(
                        std::string(PQgetvalue(next, row, column),
                                    static_cast<std::size_t>(PQgetlength(next, row, column))));
                }
            }
        }
    }
    if (problem) {
        throw Error(*problem);
    }
    return rows;
}

int Session::server_version_num() const {
    return PQserverVersion(connection_.get());
}

std::string Session::parameter(const char* name) const {
    const char* value = PQparameterStatus(connection_.get(), name);
    return value != nullptr ? value : "";
}

std::string Session::database() const {
    const char* value = PQdb(connection_.get());
    return value != nullptr ? value : "";
}

std::string Session::host() const {
    const char* value = PQhost(connection_.get());
    return value != nullptr ? value : "";
}

std::string Session::port() const {
    const char* value = PQport(connection_.get());
    return value != nullptr ? value : "";
}

}  // namespace immbackup
