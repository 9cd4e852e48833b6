// A libpq connection for the few questions that jobs ask a server. Waiting ends at once when the
// token is cancelled. No password ever appears in an error.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "dump/connection.h"
#include "io/cancel.h"

struct pg_conn;
struct pg_result;

namespace immbackup {

// No server answers, or one that is just starting or stopping: it may do a moment later.
class NotReady : public Error {
  public:
    using Error::Error;
    explicit NotReady(const Error& error) : Error(error) {}
};

std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);

class Session {
  public:
    using Row = std::vector<std::optional<std::string>>;  // nothing: NULL

    // Connects to exactly the database named so (never read as a connection string), with
    // search_path pg_catalog. Error(not_found) where it does not exist, Error(permission) where it
    // refuses connections or the role may not connect, Error(cancelled) where the server is
    // shutting down, Error(connect) for everything else, with libpq's words. NotReady where it is
    // worth trying again.
    Session(const ConnectionTarget& target, const std::string& database, const CancelToken& cancel);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // One statement; `what` completes "could not …" in an error, which carries the SQLSTATE's
    // meaning as Session() does, the server's own words as detail, and Error(failed) where no code
    // fits better.
    std::vector<Row> query(const char* what, const std::string& sql,
                           const std::vector<std::string>& parameters = {});

    int server_version_num() const;                 // 150018
    std::string parameter(const char* name) const;  // server_version, …
    std::string database() const;
    std::string host() const;
    std::string port() const;

  private:
    struct Close {
        void operator()(pg_conn* connection) const;
    };
    void connect(const ConnectionTarget& target, const std::string& database);
    void wait_for_socket(bool writing) const;
    void stop_query() const;

    const CancelToken& cancel_;
    std::unique_ptr<pg_conn, Close> connection_;
};

}  // namespace immbackup
