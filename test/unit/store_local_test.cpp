// The plain store: its directory, staging, proof, publication and seal, on real files.
#include <gtest/gtest.h>

#include <array>

#include "core/digest.h"
#include "io/process.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

class LocalStoreTest : public testing::Test {
  protected:
    fs::path root() const { return directory_.path(); }
    Layout layout() const { return Layout{root()}; }
    std::array<fs::path, 3> files(const std::string& stem) const {
        return {layout().artifact(stem), layout().digest(stem), layout().manifest(stem)};
    }

  private:
    TemporaryDirectory directory_;
};

TEST_F(LocalStoreTest, MakesItsFolders) {
    open_local_store(root());
    EXPECT_EQ(names_in(root()), (std::set<std::string>{"active", "incoming", "logs"}));
    for (const auto& path : {layout().active(), layout().incoming(), layout().logs()}) {
        EXPECT_EQ(mode_of(path), 0700U) << path;
    }
    ::chmod(layout().active().c_str(), 0750);
    open_local_store(root());  // again, on what is there
    EXPECT_EQ(mode_of(layout().active()), 0750U);
}

TEST_F(LocalStoreTest, UnusableDirectories) {
    const std::string missing = root() / "no such";
    const std::string file = root() / "file";
    const std::string open = root() / "open";
    const std::string linked = root() / "linked";
    const std::string in_the_way = root() / "in_the_way";
    put(file, "");
    fs::create_directory(open);
    ::chmod(open.c_str(), 0777);
    fs::create_directories(fs::path(linked));
    fs::create_directory(root() / "elsewhere");
    fs::create_symlink(root() / "elsewhere", fs::path(linked) / "active");
    fs::create_directory(in_the_way);
    put(fs::path(in_the_way) / "logs", "");
    for (const auto& path : {linked, in_the_way}) {
        ::chmod(path.c_str(), 0700);
    }
    const struct {
        std::string directory;
        const char* message;
        std::string hint;
    } cases[] = {
        {missing, "does not exist", "install -d -m 0700 -o "},
        {missing, "does not exist", "'" + missing + "'"},  // as a word of a shell command
        {file, "is not a directory", "Set immbackup.directory"},
        {open, "can be written by other users", "chmod 0700 " + open},
        {linked, "active\" in the backup directory is not a directory", "Move it away"},
        {in_the_way, "logs\" in the backup directory is not a directory", "Move it away"},
    };
    for (const auto& each : cases) {
        const auto problem = directory_problem(each.directory);
        ASSERT_TRUE(problem) << each.directory;
        EXPECT_EQ(problem->code(), ErrorCode::config);
        EXPECT_NE(problem->message().find(each.message), std::string::npos) << problem->message();
        EXPECT_NE(problem->hint().find(each.hint), std::string::npos) << problem->hint();
        EXPECT_TRUE(throws_error(ErrorCode::config, each.message,
                                 [&] { open_local_store(each.directory); }));
    }
    EXPECT_TRUE(names_in(root() / "elsewhere").empty());
    EXPECT_FALSE(directory_problem(root()));
}

TEST_F(LocalStoreTest, SomebodyElsesDirectory) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root to be two users";
    }
    constexpr uid_t kOwner = 65534;
    ASSERT_EQ(::chown(root().c_str(), kOwner, kOwner), 0);
    // Root as well: what it wrote there the owner could not use.
    EXPECT_TRUE(throws_error(ErrorCode::config, "belongs to another user",
                             [&] { open_local_store(root()); }));
    EXPECT_TRUE(succeeded(in_child([&] {
        ASSERT_EQ(::setgid(kOwner), 0);
        ASSERT_EQ(::setuid(kOwner), 0);
        open_local_store(root());
    })));
    ASSERT_EQ(::chown(root().c_str(), 0, 0), 0);
    EXPECT_TRUE(succeeded(in_child([&] {
        ASSERT_EQ(::setuid(kOwner), 0);
        EXPECT_TRUE(throws_error(ErrorCode::config, "could not look at",
                                 [&] { open_local_store(root() / "active"); }));
        EXPECT_TRUE(throws_error(ErrorCode::config, "belongs to another user",
                                 [&] { open_local_store(root()); }));
    })));
}

TEST_F(LocalStoreTest, ForReadingMakesAndChecksNothing) {
    EXPECT_TRUE(throws_error(ErrorCode::config, "there is no backup directory",
                             [&] { open_store_for_reading(root()); }));
    fs::create_directory(layout().active());
    ::chmod(root().c_str(), 0777);
    EXPECT_TRUE(open_store_for_reading(root())->list().empty());
    EXPECT_EQ(names_in(root()), std::set<std::string>{"active"});
}

TEST_F(LocalStoreTest, PublishesAndSeals) {
    const auto store = open_local_store(root());
    const std::string content(3'000'000, 'x');
    publish_content(*store, kStem, content);
    const SealLevel expected = can_set_flags() ? SealLevel::immutable : SealLevel::readonly;
    EXPECT_EQ(store->seal_level(), expected);
    EXPECT_EQ(store->seal_of(kStem), expected);
    for (const auto& file : files(kStem)) {
        EXPECT_EQ(mode_of(file), 0400U) << file;
        EXPECT_EQ(is_immutable(file), expected == SealLevel::immutable) << file;
    }
    EXPECT_EQ(content_of(layout().artifact(kStem)), content);
    EXPECT_EQ(store->list(), std::vector<std::string>{kStem});
    EXPECT_EQ(store->read_manifest(kStem).sha256, sha256_hex(content));
    EXPECT_EQ(file_size(store->open_artifact(kStem), "artifact"), content.size());
    EXPECT_TRUE(names_in(layout().incoming()).empty());
}

TEST_F(LocalStoreTest, ImmutableStopsEvenRoot) {
    if (!can_set_flags()) {
        GTEST_SKIP() << "needs CAP_LINUX_IMMUTABLE and a file system with inode flags";
    }
    const auto store = open_local_store(root());
    publish_content(*store, kStem, "content");
    for (const auto& file : files(kStem)) {
        EXPECT_EQ(::unlink(file.c_str()), -1) << file;
        EXPECT_EQ(::rename(file.c_str(), (file.string() + ".moved").c_str()), -1) << file;
        EXPECT_EQ(::open(file.c_str(), O_WRONLY | O_CLOEXEC), -1) << file;
        EXPECT_EQ(::chmod(file.c_str(), 0600), -1) << file;
    }
}

TEST_F(LocalStoreTest, WithoutTheCapabilityItIsReadonly) {
    EXPECT_TRUE(succeeded(in_child([&] {
        drop_flag_capability();
        const auto store = open_local_store(root());
        publish_content(*store, kStem, "content");
        EXPECT_EQ(store->seal_level(), SealLevel::readonly);
        EXPECT_EQ(store->seal_of(kStem), SealLevel::readonly);
        EXPECT_EQ(store->read_manifest(kStem).seal, "readonly");
        EXPECT_EQ(mode_of(layout().artifact(kStem)), 0400U);
    })));
}

TEST_F(LocalStoreTest, SealThatCannotBeReachedPublishesNothing) {
    EXPECT_TRUE(succeeded(in_child([&] {
        drop_flag_capability();
        const auto store = open_local_store(root());
        EXPECT_TRUE(throws_error(ErrorCode::permission, "set the immutable flag",
                                 [&] { publish_content(*store, kStem, "content", "immutable"); }));
        EXPECT_TRUE(names_in(layout().active()).empty());
        EXPECT_TRUE(names_in(layout().incoming()).empty());
    })));
}

TEST_F(LocalStoreTest, SealOfIsTheWeakestFile) {
    const auto store = open_local_store(root());
    publish_content(*store, kStem, "content", "readonly");
    for (const auto& file : files(kStem)) {
        EXPECT_EQ(store->seal_of(kStem), SealLevel::readonly);
        ::chmod(file.c_str(), 0600);
        EXPECT_EQ(store->seal_of(kStem), SealLevel::none) << file;
        ::chmod(file.c_str(), 0400);
    }
}

TEST_F(LocalStoreTest, ChecksumFileIsWhatSha256sumReads) {
    const auto store = open_local_store(root());
    const std::string stem = std::string(kStem) + ".odd%20n%C3%A4me";
    publish_content(*store, stem, "content");
    SpawnOptions options;
    options.program = "/bin/sh";  // for the working directory
    options.arguments = {"-c", "cd \"$1\" && exec sha256sum --strict -c \"$2\"", "sh",
                         layout().active(), digest_file(stem, DumpFormat::gzip)};
    const Output output = run_program(options, CancelToken());
    EXPECT_TRUE(output.status.success()) << output.err;
    EXPECT_EQ(output.out, artifact_file(stem, DumpFormat::gzip) + ": OK\n");
}

TEST_F(LocalStoreTest, NeverOverAName) {
    const auto store = open_local_store(root());
    for (const auto& file : files(kStem)) {
        put(file, "somebody's");
        EXPECT_TRUE(throws_error(ErrorCode::exists, file.filename().string(),
                                 [&] { publish_content(*store, kStem, "content"); }));
        EXPECT_EQ(names_in(layout().active()), std::set<std::string>{file.filename()});
        EXPECT_EQ(content_of(file), "somebody's");
        EXPECT_TRUE(names_in(layout().incoming()).empty());
        fs::remove(file);
        fs::create_symlink("nowhere", file);  // a dangling link is a name as well
        EXPECT_TRUE(throws_error(ErrorCode::exists, file.filename().string(),
                                 [&] { publish_content(*store, kStem, "content"); }));
        EXPECT_TRUE(fs::is_symlink(file));
        fs::remove(file);
    }
    publish_content(*store, kStem, "first");
    EXPECT_TRUE(
        throws_error(ErrorCode::exists, kStem, [&] { publish_content(*store, kStem, "second"); }));
    EXPECT_EQ(content_of(layout().artifact(kStem)), "first");
}

TEST_F(LocalStoreTest, ManifestMustDescribeTheArtifact) {
    const auto store = open_local_store(root());
    const struct {
        const char* what;
        std::function<void(Manifest&)> change;
    } cases[] = {
        {"size", [](Manifest& m) { ++m.size; }},
        {"digest", [](Manifest& m) { m.sha256[0] = m.sha256[0] == '0' ? '1' : '0'; }},
        {"stem", [](Manifest& m) { m.artifact = "20260118T120001Z"; }},
        {"no seal", [](Manifest& m) { m.seal = "none"; }},
        {"unknown seal", [](Manifest& m) { m.seal = "wax"; }},
    };
    for (const auto& each : cases) {
        auto staged = stage_content(*store, kStem, "content");
        Manifest manifest = manifest_of(kStem, *staged, "readonly");
        each.change(manifest);
        EXPECT_TRUE(throws_error(ErrorCode::internal, "does not describe", [&] {
            store->publish(std::move(staged), manifest);
        })) << each.what;
        EXPECT_TRUE(names_in(layout().active()).empty()) << each.what;
        EXPECT_TRUE(names_in(layout().incoming()).empty()) << each.what;
    }
    // What was written, but not proven.
    auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
    const std::string_view content = "content";
    staged->write(std::as_bytes(std::span(content.data(), content.size())));
    Manifest manifest = manifest_of(kStem, *staged, "readonly");
    manifest.sha256 = sha256_hex(content);
    EXPECT_TRUE(throws_error(ErrorCode::internal, "does not describe",
                             [&] { store->publish(std::move(staged), manifest); }));
    EXPECT_TRUE(names_in(layout().active()).empty());
}

TEST_F(LocalStoreTest, DroppedStageLeavesNothing) {
    const auto store = open_local_store(root());
    {
        const auto staged = stage_content(*store, kStem, "content");
        EXPECT_EQ(names_in(layout().incoming()),
                  std::set<std::string>{std::string(kStem) + ".sql.gz.part"});
        EXPECT_EQ(mode_of(layout().incoming() / (std::string(kStem) + ".sql.gz.part")), 0600U);
        EXPECT_TRUE(throws_error(ErrorCode::exists, "part", [&] {
            store->stage({kStem, DumpFormat::gzip, {}, {}});
        }));
    }
    EXPECT_TRUE(names_in(layout().incoming()).empty());
    for (const char* stem : {"", "../x", "x", "20260118T120000Z/../x"}) {
        EXPECT_TRUE(throws_error(ErrorCode::internal, "not the name of an artifact", [&] {
            store->stage({stem, DumpFormat::gzip, {}, {}});
        }));
    }
}

TEST_F(LocalStoreTest, ProofFindsAnyDifference) {
    const auto store = open_local_store(root());
    const std::string content(1'000'000, 'c');
    const fs::path part = layout().incoming() / (std::string(kStem) + ".sql.gz.part");
    const struct {
        const char* what;
        std::function<void()> change;
    } cases[] = {
        {"a byte",
         [&] { std::fstream(part, std::ios::in | std::ios::out).seekp(777'777).put('d'); }},
        {"shorter", [&] { fs::resize_file(part, content.size() - 1); }},
        {"longer", [&] { std::ofstream(part, std::ios::app).put('c'); }},
    };
    for (const auto& each : cases) {
        auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
        staged->write(std::as_bytes(std::span(content.data(), content.size())));
        each.change();
        EXPECT_TRUE(throws_error(ErrorCode::corrupt, "does not read back", [&] {
            staged->prove(CancelToken());
        })) << each.what;
    }
}

// Behind the writer and at the end, with ends on and beside the ranges that are read at once.
TEST_F(LocalStoreTest, ProofOfLargeFiles) {
    const auto store = open_local_store(root());
    constexpr std::size_t kRange = std::size_t{8} << 20;
    std::string content(3 * kRange + 5, ' ');
    std::uint32_t state = 1;
    for (char& c : content) {
        state = state * 1664525 + 1013904223;
        c = static_cast<char>(state >> 24U);
    }
    for (const std::size_t size : {kRange - 1, kRange, kRange + 1, 2 * kRange, content.size()}) {
        for (const std::size_t step : {std::size_t{100'001}, size}) {
            auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
            for (std::size_t at = 0; at < size; at += step) {
                const auto part = std::string_view(content).substr(at, std::min(step, size - at));
                staged->write(std::as_bytes(std::span(part.data(), part.size())));
            }
            staged->prove(CancelToken());
            EXPECT_EQ(staged->sha256(), sha256_hex(std::string_view(content).substr(0, size)));
        }
    }
    const fs::path part = layout().incoming() / (std::string(kStem) + ".sql.gz.part");
    for (const std::int64_t change : {-1, 1}) {
        auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
        staged->write(std::as_bytes(std::span(content.data(), content.size())));
        fs::resize_file(part, content.size() + static_cast<std::uint64_t>(change));
        EXPECT_TRUE(throws_error(ErrorCode::corrupt, "does not read back",
                                 [&] { staged->prove(CancelToken()); }));
    }
    // One that comes to nothing stops reading.
    auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
    staged->write(std::as_bytes(std::span(content.data(), content.size())));
}

// An artifact of zstd has names of its own everywhere, and a stem names one artifact.
TEST_F(LocalStoreTest, ZstdIsAnotherName) {
    const auto store = open_local_store(root());
    const std::string stem = kStem;
    const auto publish = [&](DumpFormat format) {
        auto staged = store->stage({stem, format, {}, {}});
        staged->write(std::as_bytes(std::span("content", 7)));
        staged->prove(CancelToken());
        Manifest manifest = manifest_of(stem, *staged, "readonly");
        manifest.compression = format == DumpFormat::zstd ? "zstd:3" : "gzip:1";
        store->publish(std::move(staged), manifest);
    };
    publish(DumpFormat::zstd);
    EXPECT_EQ(names_in(layout().active()),
              (std::set<std::string>{stem + ".sql.zst", stem + ".sql.zst.sha256",
                                     stem + ".sql.zst.manifest.json"}));
    EXPECT_EQ(layout().format_of(stem), DumpFormat::zstd);
    EXPECT_EQ(store->list(), std::vector<std::string>{stem});
    EXPECT_EQ(store->read_manifest(stem).format(), DumpFormat::zstd);
    EXPECT_FALSE(store->problem_of(stem, CancelToken()));
    EXPECT_TRUE(store->has_manifest(stem));
    EXPECT_EQ(store->seal_of(stem), SealLevel::readonly);
    EXPECT_TRUE(
        throws_error(ErrorCode::exists, "exists already", [&] { publish(DumpFormat::gzip); }));
    EXPECT_TRUE(store->sweep({}).completed == std::vector<std::string>{stem});
    EXPECT_EQ(store->remove(stem, "test") > 0, true);
    EXPECT_TRUE(names_in(layout().active()).empty());
}

TEST_F(LocalStoreTest, ProofCanBeCancelled) {
    const auto store = open_local_store(root());
    auto staged = store->stage({kStem, DumpFormat::gzip, {}, {}});
    const std::string_view content = "content";
    staged->write(std::as_bytes(std::span(content.data(), content.size())));
    CancelToken cancel;
    cancel.cancel(Error(ErrorCode::cancelled, "stopped"));
    EXPECT_TRUE(throws_error(ErrorCode::cancelled, "stopped", [&] { staged->prove(cancel); }));
}

TEST_F(LocalStoreTest, ListsByStem) {
    const auto store = open_local_store(root());
    const std::string run = kStem;
    for (const std::string& stem : {run + ".b", run, run + ".a", std::string("20250101T000000Z")}) {
        publish_content(*store, stem, stem, "readonly");
    }
    put(layout().active() / "notes.manifest.json", "{}");
    put(layout().active() / "20260118T120001Z.sql.gz", "without manifest");
    EXPECT_EQ(store->list(),
              (std::vector<std::string>{"20250101T000000Z", run, run + ".a", run + ".b"}));
}

TEST_F(LocalStoreTest, ManifestsThatCannotBeRead) {
    const auto store = open_local_store(root());
    publish_content(*store, kStem, "content", "readonly");
    const std::string other = "20260118T120001Z";
    put(layout().manifest(other), content_of(layout().manifest(kStem)));
    EXPECT_TRUE(
        throws_error(ErrorCode::corrupt, "describes", [&] { store->read_manifest(other); }));
    put(layout().manifest(other), "{");
    EXPECT_TRUE(throws_error(ErrorCode::corrupt, "", [&] { store->read_manifest(other); }));
    fs::remove(layout().manifest(other));
    EXPECT_TRUE(throws_error(ErrorCode::not_found, "there is no artifact",
                             [&] { store->read_manifest(other); }));
    for (const char* stem : {"", "..", "../logs/x", "/etc/passwd", "x\ny"}) {
        EXPECT_TRUE(throws_error(ErrorCode::not_found, "is not the name of an artifact",
                                 [&] { store->read_manifest(stem); }));
    }
    // A FIFO must not hold anybody up, and no link is followed.
    ASSERT_EQ(::mkfifo(layout().manifest(other).c_str(), 0600), 0);
    EXPECT_TRUE(
        throws_error(ErrorCode::io, "not a regular file", [&] { store->read_manifest(other); }));
    fs::remove(layout().manifest(other));
    fs::create_symlink(layout().manifest(kStem), layout().manifest(other));
    EXPECT_TRUE(throws_error(ErrorCode::io, "", [&] { store->read_manifest(other); }));
}

}  // namespace
}  // namespace immbackup::test
