// The vault as a store, with a helper that lies, dies or refuses: what the directory says counts.
// That all goes well with the real helper is shown by test/shell/vault.sh.
#include "store/vault_store.h"

#include "core/audit_record.h"
#include "core/events.h"
#include "store/vault_put.h"
#include "unit/fake_vault.h"

namespace immbackup::test {
namespace {

constexpr uid_t kKeeper = 12345;

// A directory of the vault's shape; only root can make one.
class VaultStoreTest : public testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "it needs root, for files of another user";
        }
        for (const char* name : {"active", "logs", "work"}) {
            fs::create_directory(root() / name);
        }
        for (const char* name : {"active", "logs"}) {
            ASSERT_EQ(::chown((root() / name).c_str(), kKeeper, 0), 0);
        }
        layout_ = find_layout(root());
        ASSERT_TRUE(layout_.vault);
    }
    fs::path root() const { return directory_.path(); }

    // What the helper does to the log.
    void write_record(const char* event, const std::string& body) {
        AuditRecord record;
        record.seq = ++seq_;
        record.time = "2026-01-18T12:00:00.000Z";
        record.origin = "job";
        record.prev = head_;
        record.event = event;
        record.body = body;
        std::ofstream(layout_.audit_log(), std::ios::app | std::ios::binary)
            << format_audit_line(record);
        head_ = record.hash;
    }
    std::string answer() const {
        return "ok seq=" + std::to_string(seq_) + " time=2026-01-18T12:00:00.000Z prev=" + head_ +
               " hash=" + head_ + " offset=1\n";
    }
    void begin_log() {
        write_record(event::kInstanceCreated,
                     R"({"instance":"00000000-0000-4000-8000-000000000000"})");
    }
    // Takes one append up to its content.
    static std::optional<std::string> take_append(FakeVault::Peer& peer) {
        peer.greet();
        if (!peer.line()) {
            return std::nullopt;
        }
        peer.say("ok\n");
        return peer.content();
    }
    void place(const fs::path& path, const std::string& content, unsigned mode = 0440) {
        put(path, content, 0600);
        ASSERT_EQ(::chown(path.c_str(), kKeeper, 0), 0);
        ::chmod(path.c_str(), mode);
    }

    TemporaryDirectory directory_;
    Layout layout_;
    std::uint64_t seq_ = 0;
    std::string head_ = std::string(kZeroHash);
};

TEST_F(VaultStoreTest, ShapesAreToldApart) {
    EXPECT_EQ(layout_.lock_file(), root() / "work" / "immbackup.lock");
    EXPECT_EQ(layout_.checkpoint(), root() / "work" / "catalog.idx");
    EXPECT_EQ(layout_.audit_log(), root() / "logs" / "backup_audit.jsonl");
    EXPECT_EQ(layout_.artifact_folders().size(), 2U);
    // A copy that belongs to one user is read like the plain store.
    ASSERT_EQ(::chown((root() / "active").c_str(), 0, 0), 0);
    EXPECT_FALSE(find_layout(root()).vault);
    EXPECT_FALSE(find_layout(root() / "nowhere").vault);
}

TEST_F(VaultStoreTest, SettingsAndDirectoryMustAgree) {
    Settings settings;
    settings.directory = root().string();
    EXPECT_TRUE(throws_error(ErrorCode::config, "is a vault", [&] { open_store(settings); }));
    settings.vault_helper = "/nonexistent";
    EXPECT_NE(open_store(settings)->keeper(), nullptr);
    const TemporaryDirectory plain;
    settings.directory = plain.path().string();
    EXPECT_TRUE(throws_error(ErrorCode::config, "is not a vault", [&] { open_store(settings); }));
    settings.vault_helper.clear();
    EXPECT_EQ(open_store(settings)->keeper(), nullptr);
}

TEST_F(VaultStoreTest, TheFirstRecordIsMade) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        const auto body = take_append(peer);
        write_record(event::kInstanceCreated, *body);
        peer.say(answer());
    });
    const AuditLog audit = VaultStore(layout_, vault.path()).open_audit("job");
    EXPECT_EQ(audit.catalog().instance.size(), 36U);
    EXPECT_EQ(audit.catalog().head_seq, 1U);
}

TEST_F(VaultStoreTest, ThePlainLogIsAdopted) {
    fs::create_directories(layout_.plain().logs());
    std::string instance;
    {
        AuditLog plain(layout_.plain(), "job");
        plain.append("note", "{}");
        instance = plain.catalog().instance;
    }
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        EXPECT_EQ(peer.line(), "adopt");
        peer.say("ok\n");
        put(layout_.audit_log(), peer.content().value_or(""));
        peer.say("ok records=2 seq=2 hash=x offset=1\n");
    });
    const AuditLog audit = VaultStore(layout_, vault.path()).open_audit("job");
    EXPECT_EQ(audit.catalog().instance, instance);
    EXPECT_EQ(audit.catalog().head_seq, 2U);
}

TEST_F(VaultStoreTest, ABrokenPlainLogIsNotHandedOver) {
    fs::create_directories(layout_.plain().logs());
    AuditRecord first{1,
                      "2026-01-18T12:00:00.000Z",
                      "job",
                      std::string(kZeroHash),
                      event::kInstanceCreated,
                      R"({"instance":"x"})",
                      {}};
    std::string log = format_audit_line(first);
    AuditRecord second{2, first.time, "job", first.hash, "note", "{}", {}};
    log += format_audit_line(second);
    log[log.find("job")] = 'J';  // its end is as sound as ever
    std::atomic<int> asked = 0;
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        while (peer.line()) {
            ++asked;
        }
    });
    const VaultStore store(layout_, vault.path());
    for (const std::string& broken : {log, std::string("nothing that chains\n"), std::string(),
                                      format_audit_line(first) + "{\"seq"}) {
        put(layout_.plain().audit_log(), broken);
        EXPECT_TRUE(throws_error(ErrorCode::audit,
                                 "cannot go on in the vault: ", [&] { store.open_audit("job"); }));
    }
    EXPECT_EQ(asked, 0);
}

TEST_F(VaultStoreTest, ALogThatTheHelperRefusesIsNotPassedOver) {
    fs::create_directories(layout_.plain().logs());
    { const AuditLog plain(layout_.plain(), "job"); }
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say("ok\n");
        peer.content();
        peer.say("error audit it%20does%20not%20end%20well\n");
    });
    const VaultStore store(layout_, vault.path());
    EXPECT_TRUE(throws_error(ErrorCode::audit, "cannot go on in the vault: it does not end well",
                             [&] { store.open_audit("job"); }));
}

TEST_F(VaultStoreTest, ARecordWhoseAnswerWasLostCounts) {
    begin_log();
    FakeVault vault([&](FakeVault::Peer& peer) {
        const auto body = take_append(peer);
        write_record("note", *body);  // and dies
    });
    AuditLog audit = VaultStore(layout_, vault.path()).open_audit("job");
    EXPECT_EQ(audit.append("note", R"({"n":1})").seq, 2U);
    EXPECT_EQ(audit.catalog().head_seq, 2U);
}

TEST_F(VaultStoreTest, ARecordThatWasNotWrittenDoesNot) {
    begin_log();
    bool lies = false;
    FakeVault vault([&](FakeVault::Peer& peer) {
        take_append(peer);
        if (lies) {
            peer.say("ok seq=2 time=x prev=x hash=x offset=1\n");
            peer.line();
        }
    });
    AuditLog audit = VaultStore(layout_, vault.path()).open_audit("job");
    EXPECT_TRUE(throws_error(ErrorCode::audit, "ended without an answer",
                             [&] { audit.append("note", "{}"); }));
    lies = true;
    EXPECT_TRUE(
        throws_error(ErrorCode::audit, "ends with record 1", [&] { audit.append("note", "{}"); }));
    EXPECT_EQ(audit.catalog().head_seq, 1U);
}

TEST_F(VaultStoreTest, AServiceMayBeRestartedBetweenRecords) {
    begin_log();
    FakeVault vault([&](FakeVault::Peer& peer) {
        if (const auto body = take_append(peer)) {
            write_record("note", *body);
            peer.say(answer());
        }
    });
    AuditLog audit = VaultStore(layout_, vault.path()).open_audit("job");
    for (std::uint64_t seq = 2; seq < 6; ++seq) {
        EXPECT_EQ(audit.append("note", "{}").seq, seq);
    }
    EXPECT_GE(vault.connections(), 2);
    EXPECT_TRUE(verify_audit_log(layout_).sound());
}

TEST_F(VaultStoreTest, SaysWhyItCannotSeal) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        while (peer.line()) {
            peer.say("ok level=none reason=set-uid%20does%20nothing%20here version=0.1.0\n");
        }
    });
    VaultStore store(layout_, vault.path());
    EXPECT_EQ(store.seal_level(), SealLevel::none);
    EXPECT_EQ(store.seal_reason(), "The vault's helper says: set-uid does nothing here.");
}

// One put, as far as the helper goes along.
class VaultPutTest : public VaultStoreTest {
  protected:
    static constexpr const char* kAccepted =
        "ok retain_until=2026-02-18T12:00:00.000Z level=vault min_retain_until=x\n";
    // Takes the artifact; false where it was cut off.
    bool take_artifact(FakeVault::Peer& peer) {
        peer.greet();
        request_ = peer.line().value_or("");
        const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        peer.say_with(kAccepted, file.get());
        artifact_ = peer.content();
        if (artifact_) {
            peer.say("ok size=" + std::to_string(artifact_->size()) +
                     " sha256=" + sha256_hex(*artifact_) + "\n");
        }
        return artifact_.has_value();
    }
    std::string request_;
    std::optional<std::string> artifact_;
    const std::string content_ = "what is kept";
};

TEST_F(VaultPutTest, StatesItsDateAndIsSealed) {
    std::optional<std::string> manifest;
    FakeVault vault([&](FakeVault::Peer& peer) {
        if (take_artifact(peer) && (manifest = peer.content())) {
            peer.say("ok stem=x level=vault retain_until=x sealed=x seq=1 hash=x\n");
        }
    });
    VaultPut put(vault.path(), {kStem, DumpFormat::gzip, "app", std::chrono::hours(24)},
                 std::chrono::hours(240));
    EXPECT_FALSE(put.promised());
    put.write(std::as_bytes(std::span(content_)));
    EXPECT_EQ(format_time(*put.promised()), "2026-02-18T12:00:00.000Z");
    EXPECT_TRUE(put.reader());
    put.prove(CancelToken());
    EXPECT_EQ(put.sha256(), sha256_hex(content_));
    put.publish("{}", SealLevel::vault);
    EXPECT_EQ(artifact_, content_);
    EXPECT_EQ(manifest, "{}");
    EXPECT_TRUE(request_.starts_with("put stem=20260118T120000Z database=app retain_until=20"))
        << request_;
}

TEST_F(VaultPutTest, IsDiscardedWhereItIsDropped) {
    FakeVault vault([&](FakeVault::Peer& peer) { take_artifact(peer); });
    {
        VaultPut put(vault.path(), {kStem, DumpFormat::gzip, "app", {}}, std::chrono::hours(1));
        put.write(std::as_bytes(std::span(content_)));
    }
    EXPECT_FALSE(artifact_);
}

TEST_F(VaultPutTest, OtherContentIsFound) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        peer.say_with(kAccepted, file.get());
        peer.content();
        peer.say("ok size=12 sha256=" + std::string(64, '0') + "\n");
    });
    VaultPut put(vault.path(), {kStem, DumpFormat::gzip, "app", {}}, std::chrono::hours(1));
    put.write(std::as_bytes(std::span(content_)));
    EXPECT_TRUE(
        throws_error(ErrorCode::corrupt, "other content", [&] { put.prove(CancelToken()); }));
}

TEST_F(VaultPutTest, AWeakerSealIsNotPassedOver) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        if (take_artifact(peer) && peer.content()) {
            peer.say("ok stem=x level=vault-dac retain_until=x sealed=x seq=1 hash=x\n");
        }
    });
    VaultPut put(vault.path(), {kStem, DumpFormat::gzip, "app", {}}, std::chrono::hours(1));
    put.write(std::as_bytes(std::span(content_)));
    put.prove(CancelToken());
    EXPECT_TRUE(throws_error(ErrorCode::permission, "as \"vault-dac\" only",
                             [&] { put.publish("{}", SealLevel::vault); }));
}

TEST_F(VaultPutTest, WithoutADescriptorIsAnotherVersion) {
    FakeVault vault([&](FakeVault::Peer& peer) {
        peer.greet();
        peer.line();
        peer.say(kAccepted);
        peer.line();
    });
    VaultPut put(vault.path(), {kStem, DumpFormat::gzip, "app", {}}, std::chrono::hours(1));
    EXPECT_TRUE(throws_error(ErrorCode::version, "nothing to read it by",
                             [&] { put.write(std::as_bytes(std::span(content_))); }));
}

TEST_F(VaultStoreTest, TheSealIsReadFromTheFiles) {
    const VaultStore store(layout_, "");
    for (const auto& path :
         {layout_.artifact(kStem), layout_.digest(kStem), layout_.manifest(kStem)}) {
        place(path, "x");
    }
    EXPECT_EQ(store.seal_of(kStem), SealLevel::vault_dac);
    EXPECT_TRUE(store.complete(kStem));
    EXPECT_TRUE(store.has(kStem));
    place(layout_.digest(kStem), "x", 0640);
    EXPECT_EQ(store.seal_of(kStem), SealLevel::none);
    place(layout_.digest(kStem), "x");
    ASSERT_EQ(::chown(layout_.manifest(kStem).c_str(), 0, 0), 0);
    EXPECT_EQ(store.seal_of(kStem), SealLevel::none);
}

TEST_F(VaultStoreTest, WhatIsInThePlainStoreIsThereToo) {
    fs::create_directory(layout_.plain().root);
    const auto plain = open_local_store(layout_.plain().root.string());
    publish_content(*plain, kStem, "content");
    const VaultStore store(layout_, "");
    EXPECT_EQ(store.list(), std::vector<std::string>{kStem});
    EXPECT_EQ(store.plain(), std::vector<std::string>{kStem});
    EXPECT_FALSE(store.has(kStem));
    EXPECT_TRUE(store.complete(kStem));
    EXPECT_FALSE(store.problem_of(kStem, CancelToken()));
    EXPECT_EQ(store.seal_of(kStem), plain->seal_level());
    EXPECT_EQ(store.stamp(kStem), plain->stamp(kStem));
}

TEST_F(VaultStoreTest, AnAbsentHelperIsNoReasonNotToRead) {
    begin_log();
    const auto store = open_store_for_reading(root().string());
    EXPECT_TRUE(store->list().empty());
    EXPECT_EQ(read_catalog(store->layout()).head_seq, 1U);
    AuditLog audit = store->open_audit("cli");
    EXPECT_TRUE(throws_error(ErrorCode::config, "is not known", [&] { audit.append("x", "{}"); }));
}

}  // namespace
}  // namespace immbackup::test
