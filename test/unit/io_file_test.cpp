// Files: whole reads and writes, names never overwritten, links never followed; the clocks.
#include "io/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/digest.h"
#include "io/clock.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

class FileTest : public testing::Test {
  protected:
    fs::path path(const char* name) const { return directory_.path() / name; }

    TemporaryDirectory directory_;
};

TEST_F(FileTest, ErrorsNamePathAndReason) {
    const struct {
        const char* what;
        std::function<void()> act;
        ErrorCode code;
        const char* part;
    } cases[] = {
        {"open", [&] { open_file(path("none"), O_RDONLY); }, ErrorCode::not_found, "No such file"},
        {"read", [&] { read_file(path("none"), 10); }, ErrorCode::not_found, "/none\""},
        {"create in nothing", [&] { open_file(path("none/x"), O_WRONLY | O_CREAT); },
         ErrorCode::not_found, "create file"},
        {"list", [&] { list_directory(path("none")); }, ErrorCode::not_found, "/none\""},
        {"sync directory", [&] { sync_directory(path("none")); }, ErrorCode::not_found, "/none\""},
        {"space", [&] { space_of(path("none")); }, ErrorCode::not_found, "/none\""},
        {"rename", [&] { rename_no_replace(path("none"), path("x")); }, ErrorCode::not_found,
         "/x\""},
        {"directory", [&] { make_directory(path("none/x"), 0700); }, ErrorCode::not_found,
         "create directory"},
        {"remove a directory", [&] { remove_file(directory_.path()); }, ErrorCode::io,
         "remove file"},
        {"write to a reader",
         [&] {
             put(path("reader"), "");
             write_all(open_file(path("reader"), O_RDONLY), "x", path("reader"));
         },
         ErrorCode::io, "write to file"},
        {"full", [&] { write_all(open_file("/dev/full", O_WRONLY), "x", "/dev/full"); },
         ErrorCode::no_space, "write to file \"/dev/full\""},
    };
    for (const auto& each : cases) {
        EXPECT_TRUE(throws_error(each.code, each.part, each.act)) << each.what;
    }
}

TEST_F(FileTest, LinksAndSpecialFiles) {
    put(path("target"), "target");
    fs::create_symlink(path("target"), path("link"));
    fs::create_symlink(path("nowhere"), path("dangling"));
    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    EXPECT_TRUE(throws_error(ErrorCode::io, "link", [&] { open_file(path("link"), O_RDONLY); }));
    EXPECT_TRUE(throws_error(ErrorCode::io, "link", [&] { read_file(path("link"), 100); }));
    EXPECT_TRUE(throws_error(ErrorCode::io, "dangling",
                             [&] { open_file(path("dangling"), O_WRONLY | O_CREAT); }));
    EXPECT_TRUE(throws_error(ErrorCode::exists, "dangling",
                             [&] { create_durable(path("dangling"), "x", 0600); }));
    EXPECT_FALSE(fs::exists(path("nowhere")));
    for (const char* name : {"fifo", "."}) {  // without waiting for a writer
        EXPECT_TRUE(
            throws_error(ErrorCode::io, "not a regular file", [&] { open_regular(path(name)); }));
    }
    EXPECT_TRUE(throws_error(ErrorCode::io, "create directory",
                             [&] { make_directory(path("link"), 0700); }));
}

TEST_F(FileTest, WholeReadsUpToALimit) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{256 * 1024 - 1},
                                   std::size_t{256 * 1024}, std::size_t{256 * 1024 + 1}}) {
        const std::string content(size, 'x');
        put(path("file"), content);
        EXPECT_EQ(read_file(path("file"), size), content);
        Sha256 digest;
        const Fd fd = open_regular(path("file"));
        EXPECT_EQ(read_blocks(fd, path("file"), [&](auto block) { digest.update(block); }), size);
        EXPECT_EQ(digest.hex(), sha256_hex(content));
        if (size > 0) {
            EXPECT_TRUE(throws_error(ErrorCode::corrupt, "larger than it can be",
                                     [&] { read_file(path("file"), size - 1); }));
        }
    }
}

TEST_F(FileTest, CreateDurable) {
    const mode_t mask = ::umask(0077);
    create_durable(path("file"), "content", 0640);
    ::umask(mask);
    EXPECT_EQ(content_of(path("file")), "content");
    EXPECT_EQ(mode_of(path("file")), 0640U);  // whatever the umask says
    EXPECT_TRUE(throws_error(ErrorCode::exists, "file",
                             [&] { create_durable(path("file"), "other", 0600); }));
    EXPECT_EQ(content_of(path("file")), "content");
}

TEST_F(FileTest, RenameNeverReplaces) {
    put(path("from"), "from");
    put(path("taken"), "taken");
    fs::create_directory(path("directory"));
    fs::create_symlink("nowhere", path("link"));
    for (const char* name : {"taken", "directory", "link"}) {
        EXPECT_TRUE(throws_error(ErrorCode::exists, "exists already",
                                 [&] { rename_no_replace(path("from"), path(name)); }));
        EXPECT_EQ(content_of(path("from")), "from");
    }
    EXPECT_EQ(content_of(path("taken")), "taken");
    rename_no_replace(path("from"), path("to"));
    EXPECT_EQ(content_of(path("to")), "from");
    EXPECT_FALSE(fs::exists(path("from")));
}

TEST_F(FileTest, RemoveAndList) {
    put(path("b"), "");
    put(path("a"), "");
    put(path("\xff\n"), "");
    EXPECT_EQ(list_directory(directory_.path()), (std::vector<std::string>{"a", "b", "\xff\n"}));
    EXPECT_TRUE(remove_file(path("a")));
    EXPECT_FALSE(remove_file(path("a")));
}

TEST_F(FileTest, MakeDirectory) {
    const mode_t mask = ::umask(0077);
    make_directory(path("new"), 0755);
    ::umask(mask);
    EXPECT_EQ(mode_of(path("new")), 0755U);
    make_directory(path("new"), 0700);
    EXPECT_EQ(mode_of(path("new")), 0755U);
    put(path("file"), "");
    EXPECT_TRUE(throws_error(ErrorCode::io, "Not a directory",
                             [&] { make_directory(path("file"), 0700); }));
}

TEST_F(FileTest, RootsFilesGoToTheOwner) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    constexpr uid_t kOwner = 65534;
    const auto owner_of = [&](const char* name) {
        struct stat status {};
        ::lstat(path(name).c_str(), &status);
        return status.st_uid;
    };
    const auto give = [&](const char* name) {
        give_to_owner_of(directory_.path(), open_file(path(name), O_RDONLY), path(name));
    };
    for (const char* name : {"file", "linked", "theirs"}) {
        put(path(name), "");
    }
    give("file");
    EXPECT_EQ(owner_of("file"), 0U);  // the directory is root's own
    ASSERT_EQ(::chown(directory_.path().c_str(), kOwner, kOwner), 0);
    ASSERT_EQ(::chown(path("theirs").c_str(), 1, 1), 0);
    fs::create_hard_link(path("linked"), path("second name"));
    fs::create_directory(path("folder"));
    for (const char* name : {"file", "linked", "theirs", "folder"}) {
        give(name);
    }
    EXPECT_EQ(owner_of("file"), kOwner);
    EXPECT_EQ(owner_of("folder"), kOwner);
    EXPECT_EQ(owner_of("linked"), 0U);  // it may be a file of root's, linked here to be given away
    EXPECT_EQ(owner_of("theirs"), 1U);
}

TEST_F(FileTest, Space) {
    const Space space = space_of(directory_.path());
    EXPECT_GT(space.total, 0U);
    EXPECT_LE(space.available, space.total);
    struct stat status {};
    ASSERT_EQ(::stat(directory_.path().c_str(), &status), 0);
    EXPECT_EQ(space.device, status.st_dev);
}

TEST(Clock, TellsTheTime) {
    const auto before = std::chrono::system_clock::now();
    const Time time = now();
    EXPECT_GE(time + std::chrono::milliseconds(1), before);
    EXPECT_LE(time, std::chrono::system_clock::now());
    const std::uint64_t first = monotonic_ms();
    EXPECT_GE(monotonic_ms(), first);
    EXPECT_EQ(boot_id().size(), 36U);
    EXPECT_EQ(boot_id(), boot_id());
    EXPECT_FALSE(host_name().empty());
}

}  // namespace
}  // namespace immbackup::test
