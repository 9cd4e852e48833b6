// Discovery, pg_dump and the scan against a real server: a private cluster in a temporary folder,
// reached by a socket in it.
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "core/error.h"
#include "dump/discovery.h"
#include "dump/pg_dump.h"
#include "dump/pipeline.h"
#include "dump/session.h"
#include "io/clock.h"

namespace immbackup {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class NoProgress : public Progress {
  public:
    void update(const ProgressState&) override {}
    void warning(std::string_view) override {}
};

class Server : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        folder_ = fs::temp_directory_path() / "immbackup-server-XXXXXX";
        ASSERT_NE(mkdtemp(folder_.data()), nullptr);
        bindir_ = fs::path(find_program("", "pg_dump", never_).path).parent_path();
        if (::geteuid() == 0) {  // initdb refuses root
            const passwd* user = ::getpwnam("postgres");
            ASSERT_NE(user, nullptr) << "as root, this test needs an OS user postgres";
            ASSERT_EQ(::chown(folder_.c_str(), user->pw_uid, user->pw_gid), 0);
        }
        run({bindir_ + "/initdb", "--no-sync", "--auth=trust", "--username=postgres",
             "--encoding=UTF8", "--locale=C", "--pgdata=" + folder_ + "/data"});
        run({bindir_ + "/pg_ctl", "--wait", "--silent", "--pgdata=" + folder_ + "/data",
             "--log=" + folder_ + "/log",
             "--options=-c fsync=off -c listen_addresses= -k " + folder_, "start"});
        target_.host = folder_;
        target_.username = "postgres";
    }
    static void TearDownTestSuite() {
        stop("immediate");
        fs::remove_all(folder_);
    }
    static void stop(const std::string& mode) {
        if (fs::exists(folder_ + "/data/postmaster.pid")) {
            run({bindir_ + "/pg_ctl", "--wait", "--silent", "--pgdata=" + folder_ + "/data",
                 "--mode=" + mode, "stop"});
        }
    }
    static void run(std::vector<std::string> command) {
        if (::geteuid() == 0) {
            command.insert(command.begin(), {"/usr/sbin/runuser", "-u", "postgres", "--"});
        }
        SpawnOptions options;
        options.program = command.front();
        options.arguments.assign(command.begin() + 1, command.end());
        // The server that pg_ctl starts would hold pipes open.
        options.pipe_stdout = false;
        options.pipe_stderr = false;
        ASSERT_TRUE(Child::spawn(options).wait().success()) << command.back();
    }
    static void sql(const std::string& database, const std::vector<std::string>& statements) {
        Session session(target_, database, never_);
        session.query("set the search path", "SET search_path = public");
        for (const std::string& statement : statements) {
            session.query(statement.c_str(), statement);
        }
    }
    static std::string value(const std::string& database, const std::string& query) {
        return Session(target_, database, never_).query("ask", query).at(0).at(0).value();
    }
    static DumpJob job(const std::string& database, const std::vector<std::string>& options,
                       std::string* gzip) {
        Settings settings;
        settings.pg_dump_options = options;
        DumpJob job;
        job.program = "pg_dump";
        job.command = pg_dump_command(find_program(bindir_, "pg_dump", never_), target_,
                                      pg_dump_arguments(settings), database);
        job.progress.database = database;
        job.sink = [gzip](std::span<const std::byte> bytes) {
            if (gzip != nullptr) {
                gzip->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            }
        };
        return job;
    }
    static DumpOutcome dump(const std::string& database,
                            const std::vector<std::string>& options = {},
                            std::string* gzip = nullptr) {
        NoProgress progress;
        try {
            return run_dump(job(database, options, gzip), never_, progress);
        } catch (const Error& error) {
            ADD_FAILURE() << error.message() << ": " << error.detail();
            throw;
        }
    }
    template <class Call>
    static Error failure(const Call& call) {
        try {
            call();
        } catch (const Error& error) {
            return error;
        }
        return {ErrorCode::ok, "no error"};
    }

    inline static CancelToken never_;
    inline static std::string folder_;
    inline static std::string bindir_;
    inline static ConnectionTarget target_;
};

TEST_F(Server, Discovery) {
    sql("postgres",
        {"CREATE ROLE \"odd \"\"role\"", "CREATE ROLE reader LOGIN",
         "CREATE DATABASE shop OWNER \"odd \"\"role\" CONNECTION LIMIT 7",
         "COMMENT ON DATABASE shop IS E'it''s \\\\ a\\nshop \u00e4'",
         "ALTER DATABASE shop SET work_mem = '8MB'",
         "ALTER DATABASE shop SET search_path = a, \"b c\"",
         "ALTER ROLE reader IN DATABASE shop SET work_mem = '9MB'",
         "ALTER ROLE reader SET work_mem = '1MB'", "REVOKE ALL ON DATABASE shop FROM PUBLIC",
         "GRANT CREATE ON DATABASE shop TO reader WITH GRANT OPTION",
         "CREATE DATABASE closed ALLOW_CONNECTIONS false", "CREATE DATABASE forbidden",
         "REVOKE CONNECT ON DATABASE forbidden FROM PUBLIC",
         "CREATE DATABASE stencil IS_TEMPLATE true", "CREATE DATABASE immbackup_drill_1"});

    const Discovery found = discover_server(target_, {}, never_);
    EXPECT_EQ(found.databases, (std::vector<std::string>{"forbidden", "postgres", "shop"}));
    EXPECT_TRUE(found.superuser);
    EXPECT_FALSE(found.server.in_recovery);
    EXPECT_EQ(found.server.host, folder_);
    EXPECT_EQ(found.server.version, value("postgres", "SHOW server_version"));
    EXPECT_EQ(std::to_string(found.server.version_num),
              value("postgres", "SHOW server_version_num"));
    EXPECT_EQ(found.server.system_identifier,
              value("postgres", "SELECT system_identifier::text FROM pg_control_system()"));
    // Where the wanted ones refuse, another one answers.
    EXPECT_EQ(discover_server(target_, {"nonesuch", "closed"}, never_).databases, found.databases);

    const DatabaseProperties shop = discover_database(target_, "shop", never_);
    EXPECT_EQ(shop.name, "shop");
    EXPECT_EQ(shop.owner, "odd \"role");
    EXPECT_EQ(shop.encoding, "UTF8");
    EXPECT_EQ(shop.locale_provider, "libc");
    EXPECT_EQ(shop.collate, "C");
    EXPECT_EQ(shop.ctype, "C");
    EXPECT_EQ(shop.locale, "");
    EXPECT_EQ(shop.connection_limit, 7);
    EXPECT_EQ(shop.comment, "it's \\ a\nshop \u00e4");
    EXPECT_GT(shop.size, 1'000'000);
    const auto setting = [&](std::size_t i) {
        return shop.settings.at(i).role + ": " + shop.settings.at(i).setting;
    };
    ASSERT_EQ(shop.settings.size(), 3u);
    EXPECT_EQ(setting(0), ": work_mem=8MB");
    EXPECT_EQ(setting(1), ": search_path=a, \"b c\"");
    EXPECT_EQ(setting(2), "reader: work_mem=9MB");
    EXPECT_TRUE(shop.has_grants);
    ASSERT_EQ(shop.grants.size(), 4u);
    EXPECT_EQ(shop.grants[0].grantee, "odd \"role");
    EXPECT_EQ(shop.grants[3].grantee, "reader");
    EXPECT_EQ(shop.grants[3].privilege, "CREATE");
    EXPECT_TRUE(shop.grants[3].grantable);
    EXPECT_FALSE(discover_database(target_, "postgres", never_).has_grants);

    const auto code = [&](const ConnectionTarget& target, const char* database) {
        return failure([&] { discover_database(target, database, never_); }).code();
    };
    EXPECT_EQ(code(target_, "nonesuch"), ErrorCode::not_found);
    EXPECT_EQ(code(target_, "closed"), ErrorCode::permission);
    ConnectionTarget reader = target_;
    reader.username = "reader";
    EXPECT_EQ(code(reader, "forbidden"), ErrorCode::permission);
    EXPECT_FALSE(discover_server(reader, {}, never_).superuser);
    EXPECT_FALSE(discover_server(reader, {}, never_).server.system_identifier.empty());
    ConnectionTarget nobody = target_;
    nobody.username = "nobody";
    EXPECT_EQ(code(nobody, "postgres"), ErrorCode::connect);
    ConnectionTarget nowhere = target_;
    nowhere.host = folder_ + "/nowhere";
    const Error error = failure([&] { discover_server(nowhere, {}, never_); });
    EXPECT_EQ(error.code(), ErrorCode::connect);
    EXPECT_FALSE(error.hint().empty());

    // Nobody there: waited for as long as asked for, or until cancelled. A refused login is not.
    const auto waited = [](auto&& work) {
        const auto begin = monotonic_ms();
        const Error why = failure(work);
        return std::pair(why.code(), monotonic_ms() - begin);
    };
    const auto gave_up = waited([&] { discover_server(nowhere, {}, never_, 1s); });
    EXPECT_EQ(gave_up.first, ErrorCode::connect);
    EXPECT_GE(gave_up.second, 1000U);
    CancelToken soon;
    std::jthread canceller([&] { soon.cancel(Error(ErrorCode::cancelled, "stop")); });
    EXPECT_EQ(failure([&] { discover_server(nowhere, {}, soon, 1h); }).message(), "stop");
    EXPECT_EQ(failure([&] { discover_server(nobody, {}, never_, 1h); }).code(), ErrorCode::connect);
    // One that comes up meanwhile is found: its socket is where it is looked for from then on.
    ConnectionTarget later = target_;
    later.host = folder_ + "/later";
    std::jthread starter([&] {
        std::this_thread::sleep_for(700ms);
        std::filesystem::create_directory_symlink(target_.host, later.host);
    });
    EXPECT_FALSE(discover_server(later, {}, never_, 1h).databases.empty());

    CancelToken cancelled;
    cancelled.cancel(Error(ErrorCode::cancelled, "stop"));
    EXPECT_EQ(failure([&] { discover_server(target_, {}, cancelled); }).message(), "stop");
}

TEST_F(Server, HostileDatabaseNames) {
    const std::vector<std::string> names = {"a=b",
                                            "postgres://x/y",
                                            "host=/nowhere",
                                            "it's",
                                            "-d",
                                            "--help",
                                            "back\\slash",
                                            "line\nbreak",
                                            "with space",
                                            "\u00e4\u8868",
                                            "\"quoted\"",
                                            "$(id)",
                                            "*",
                                            "a.b"};
    for (const std::string& name : names) {
        sql("postgres", {"CREATE DATABASE " + quote_identifier(name)});
        sql(name, {"CREATE TABLE t AS SELECT current_database()::text AS name"});
    }
    const Discovery found = discover_server(target_, {}, never_);
    for (const std::string& name : names) {
        SCOPED_TRACE(name);
        EXPECT_EQ(std::count(found.databases.begin(), found.databases.end(), name), 1);
        EXPECT_EQ(discover_database(target_, name, never_).name, name);
        const ScanResult scan = dump(name).scan;
        ASSERT_EQ(scan.tables.size(), 1u);
        EXPECT_EQ(scan.rows, 1u);
        // pg_dumpall connects to it as well.
        NoProgress progress;
        DumpJob globals = job(name, {}, nullptr);
        globals.kind = DumpKind::globals;
        globals.command = pg_dump_command(find_program(bindir_, "pg_dumpall", never_), target_,
                                          pg_dumpall_globals_arguments(Settings{}, false), name);
        EXPECT_TRUE(run_dump(globals, never_, progress).scan.complete);
    }
}

const std::vector<std::string> kSchema = {
    "SET check_function_bodies = off",
    "CREATE SCHEMA \"s.;\"",
    "CREATE TABLE plain (id int, t text)",
    "INSERT INTO plain SELECT i, 'row ' || i FROM generate_series(1, 1000) i",
    "CREATE TABLE \"s.;\".\"a \"\"b\"\" (x) FROM stdin;\nc\" (\"d) FROM stdin;\" int, \"E'\" text)",
    "INSERT INTO \"s.;\".\"a \"\"b\"\" (x) FROM stdin;\nc\" VALUES (1, E'\\\\.'), (2, "
    "E'\\n\\\\.\\n'), "
    "(3, NULL), (4, ''), (5, E'\\t\\\\N'), (6, 'COPY plain (id, t) FROM stdin;'), "
    "(7, $$it's $x$ \" ( ; -- /*$$), (8, E'a\\r\\nb'), (9, E'\\u8868\\\\'), (10, E'\\\\''')",
    "CREATE TABLE binary_data (b bytea, t text)",
    "INSERT INTO binary_data SELECT decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex'), "
    "string_agg(chr(i), '') FILTER (WHERE i BETWEEN 1 AND 127) FROM generate_series(0, 255) i, "
    "generate_series(1, 20) j GROUP BY j",
    "CREATE TABLE no_columns ()",
    "INSERT INTO no_columns DEFAULT VALUES",
    "INSERT INTO no_columns DEFAULT VALUES",
    "CREATE TABLE empty (\"values\" int)",
    "CREATE TABLE identity (id int GENERATED ALWAYS AS IDENTITY, d int GENERATED ALWAYS AS (1) "
    "STORED, \"values\" text)",
    "INSERT INTO identity (\"values\") SELECT 'x' FROM generate_series(1, 9)",
    "CREATE TABLE measures (day date, v int) PARTITION BY RANGE (day)",
    "CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO "
    "('2026-02-01')",
    "CREATE TABLE measures_2 PARTITION OF measures FOR VALUES FROM ('2026-02-01') TO "
    "('2026-03-01')",
    "INSERT INTO measures SELECT '2026-01-01'::date + i, i FROM generate_series(0, 40) i",
    "CREATE FUNCTION in_dollars() RETURNS void LANGUAGE plpgsql AS $f$\nBEGIN\n"
    "COPY plain (id, t) FROM stdin;\n1\tx\n\\.\n-- PostgreSQL database dump complete\n"
    "PERFORM $_$ '\"$_$, $$ ; $$, 'it''s \\';\nINSERT INTO plain VALUES (1, 'x');\nEND $f$",
    "CREATE FUNCTION atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC "
    "SELECT CASE WHEN a > 1 THEN 2 END; INSERT INTO plain VALUES (1, 'x;\\'); SELECT 1; END",
    "CREATE PROCEDURE atomic_too() BEGIN ATOMIC INSERT INTO plain VALUES (1, E'\\'; BEGIN'); END",
    "CREATE VIEW view AS SELECT E'\\';\\nCOPY plain FROM stdin;\\n' AS \"a;b\", "
    "'\\' AS c, 1 - -1 AS d, ARRAY[1,2] AS e",
    "CREATE RULE r AS ON INSERT TO view DO INSTEAD (INSERT INTO plain VALUES (1, ';'); "
    "DELETE FROM plain WHERE t = '$$'; NOTIFY x)",
    "COMMENT ON TABLE plain IS E'it''s \\\\ a\\nCOPY plain (id, t) FROM stdin;\\n1\\tx\\n\\\\.\\n"
    "-- PostgreSQL database dump complete\\n\\u8868'",
    "SELECT lo_from_bytea(1001, decode(repeat('00ff275c', 20000), 'hex'))",
    "SELECT lo_create(1002)",
    "COMMENT ON LARGE OBJECT 1002 IS 'COPY t FROM stdin;'",
};
constexpr std::uint64_t kLargeObjectBytes = 80000;

// The tables of a database and their rows, by the server's own count and quoting.
std::map<std::string, std::uint64_t> rows_by_count(const ConnectionTarget& target,
                                                   const CancelToken& cancel) {
    Session session(target, "content", cancel);
    std::map<std::string, std::uint64_t> rows;
    for (const Session::Row& table :
         session.query("list",
                       "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN "
                       "pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND "
                       "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'")) {
        const std::string& name = table[0].value();
        rows[name] = std::stoull(
            session.query("count", "SELECT count(*) FROM ONLY " + name).at(0).at(0).value());
    }
    return rows;
}

std::map<std::string, std::uint64_t> rows_by_scan(const ScanResult& scan) {
    std::map<std::string, std::uint64_t> rows;
    for (const TableContent& table : scan.tables) {
        rows[table.name] = table.rows;
    }
    return rows;
}

std::string inflate(const std::string& gzip) {
    std::string text;
    const auto decompressor = make_gzip_decompressor([&](std::span<const std::byte> bytes) {
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    });
    decompressor->feed(std::as_bytes(std::span(gzip)));
    decompressor->finish();
    return text;
}

// The same counts in pieces of a few bytes, and nothing lost by a filter that matches nothing.
void expect_same_in_pieces(const std::string& text, const ScanResult& whole) {
    DumpScanner scanner(DumpKind::database);
    std::string filtered;
    StatementFilter filter(
        [&](std::span<const std::byte> bytes) {
            filtered.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        },
        [](std::string_view) { return false; });
    for (std::size_t i = 0, n = 1; i < text.size(); i += n, n = n % 17 + 1) {
        scanner.feed(std::as_bytes(std::span(text).subspan(i, std::min(n, text.size() - i))));
        filter.feed(std::as_bytes(std::span(text).subspan(i, std::min(n, text.size() - i))));
    }
    filter.finish();
    const ScanResult pieces = scanner.finish();
    EXPECT_TRUE(pieces.complete) << pieces.problem;
    EXPECT_EQ(rows_by_scan(pieces), rows_by_scan(whole));
    EXPECT_EQ(pieces.large_object_bytes, whole.large_object_bytes);
    EXPECT_TRUE(filtered == text);
}

TEST_F(Server, RowsAreCountedWhateverTheOptions) {
    sql("postgres", {"CREATE DATABASE content"});
    sql("content", kSchema);
    const auto truth = rows_by_count(target_, never_);
    ASSERT_EQ(truth.size(), 8u);
    auto without_empty = truth;
    without_empty.erase("public.empty");
    const std::vector<std::vector<std::string>> option_sets = {
        {},
        {"--disable-dollar-quoting"},
        {"--encoding=SJIS"},
        {"--encoding=LATIN1", "--exclude-table-data=\"s.;\".*", "--no-comments"},
        {"--inserts"},
        {"--column-inserts"},
        {"--inserts", "--rows-per-insert=7"},
        {"--column-inserts", "--rows-per-insert=1000", "--on-conflict-do-nothing"},
        {"--data-only"},
        {"--clean"},
    };
    for (const char* standard_strings : {"on", "off"}) {
        sql("postgres", {std::string("ALTER DATABASE content SET standard_conforming_strings = ") +
                         standard_strings});
        for (const auto& options : option_sets) {
            std::string trace = std::string("standard strings ") + standard_strings;
            for (const std::string& option : options) {
                trace += ' ' + option;
            }
            SCOPED_TRACE(trace);
            std::string gzip;
            const ScanResult scan = dump("content", options, &gzip).scan;
            const std::string text = inflate(gzip);
            EXPECT_EQ(scan.bytes, text.size());
            EXPECT_EQ(scan.large_objects, 2u);
            EXPECT_EQ(scan.large_object_bytes, kLargeObjectBytes);
            auto expected =
                text.find("\nINSERT INTO ") == std::string::npos ||
                        text.find("\nCOPY public.plain (id, t) FROM stdin;\n1\trow 1") !=
                            std::string::npos
                    ? truth
                    : without_empty;
            if (trace.find("exclude-table-data") != std::string::npos) {
                std::erase_if(expected, [](const auto& table) {
                    return table.first.find("FROM") != std::string::npos;
                });
            }
            EXPECT_EQ(rows_by_scan(scan), expected);
            expect_same_in_pieces(text, scan);
        }
    }
    EXPECT_TRUE(dump("content", {"--schema-only"}).scan.tables.empty());
    const auto quoted = rows_by_scan(dump("content", {"--quote-all-identifiers"}).scan);
    EXPECT_EQ(quoted.at("\"public\".\"plain\""), 1000u);
    const auto by_root = rows_by_scan(dump("content", {"--load-via-partition-root"}).scan);
    EXPECT_EQ(by_root.at("public.measures"), 41u);
    EXPECT_EQ(by_root.count("public.measures_1"), 0u);
}

// pg_dump waits for a lock; its session is ended, then the server is stopped.
TEST_F(Server, SessionsEndAndServersStop) {
    sql("postgres", {"CREATE TABLE held (a int)"});
    Session holder(target_, "postgres", never_);
    holder.query("begin", "BEGIN");
    holder.query("lock", "LOCK TABLE public.held");
    const std::string waiting =
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'immbackup pg_dump' "
        "AND wait_event_type = 'Lock'";
    const auto dump_until = [&](const auto& act) {
        std::thread other([&] {
            while (value("template1", waiting) == "0") {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
            act();
        });
        NoProgress progress;
        const Error error =
            failure([&] { run_dump(job("postgres", {}, nullptr), never_, progress); });
        other.join();
        return error;
    };
    const Error ended = dump_until([&] {
        sql("template1", {"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                          "WHERE application_name = 'immbackup pg_dump'"});
    });
    EXPECT_EQ(ended.code(), ErrorCode::dump) << ended.detail();
    EXPECT_NE(ended.hint().find("pg_terminate_backend"), std::string::npos);

    const Error stopped = dump_until([&] { stop("fast"); });
    EXPECT_EQ(stopped.code(), ErrorCode::cancelled) << stopped.detail();
    EXPECT_EQ(failure([&] { discover_server(target_, {}, never_); }).code(), ErrorCode::connect);
}

}  // namespace
}  // namespace immbackup
