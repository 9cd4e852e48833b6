// Locks that die with their holder, and the token that stops everything.
#include "io/lock.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "io/process.h"
#include "unit/store_fixture.h"

namespace immbackup::test {
namespace {

class LockTest : public testing::Test {
  protected:
    fs::path file() const { return directory_.path() / "immbackup.lock"; }
    // A process that holds the lock until it is told, or killed.
    class Holder {
      public:
        explicit Holder(const fs::path& file) {
            if (::pipe2(told_, O_CLOEXEC) != 0 || ::pipe2(held_, O_CLOEXEC) != 0) {
                throw system_error(errno, "make a pipe");
            }
            pid_ = ::fork();
            if (pid_ == 0) {
                ::close(told_[1]);
                const auto lock = DirectoryLock::acquire(file, "backup", 0);
                char c = 'x';
                [[maybe_unused]] auto count = ::write(held_[1], &c, 1);
                count = ::read(told_[0], &c, 1);
                ::_exit(0);
            }
            char c = 0;
            [[maybe_unused]] const auto count = ::read(held_[0], &c, 1);
        }
        ~Holder() {
            end(SIGKILL);
            for (const int fd : {told_[0], told_[1], held_[0], held_[1]}) {
                ::close(fd);
            }
        }
        Holder(const Holder&) = delete;
        Holder& operator=(const Holder&) = delete;
        void end(int signal) {
            if (pid_ > 0) {
                ::kill(pid_, signal);
                ::waitpid(pid_, nullptr, 0);
                pid_ = -1;
            }
        }
        void release() { [[maybe_unused]] const auto count = ::write(told_[1], "x", 1); }
        pid_t pid() const { return pid_; }

      private:
        int told_[2] = {-1, -1};
        int held_[2] = {-1, -1};
        pid_t pid_ = -1;
    };

    TemporaryDirectory directory_;
};

TEST_F(LockTest, OneHolderThatIsNamed) {
    Holder holder(file());
    EXPECT_TRUE(throws_error(ErrorCode::busy,
                             "process " + std::to_string(holder.pid()) + " (backup)",
                             [&] { DirectoryLock::acquire(file(), "test", 0); }));
    EXPECT_TRUE(throws_error(ErrorCode::busy, "(backup)",
                             [&] { DirectoryLock::acquire(file(), "test", 50); }));
    holder.end(SIGKILL);
    {
        const auto lock = DirectoryLock::acquire(file(), "test", 0);
        EXPECT_EQ(content_of(file()), "process " + std::to_string(::getpid()) + " (test)\n");
        EXPECT_EQ(mode_of(file()), 0600U);
        // Not within one process either.
        EXPECT_TRUE(throws_error(ErrorCode::busy, "(test)",
                                 [&] { DirectoryLock::acquire(file(), "other", 0); }));
    }
    DirectoryLock::acquire(file(), "test", 0);
}

TEST_F(LockTest, WaitsForItsTurn) {
    Holder holder(file());
    std::atomic<bool> released{false};
    std::thread releaser([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        released = true;
        holder.release();
    });
    const auto lock = DirectoryLock::acquire(file(), "test", 60'000);
    EXPECT_TRUE(released);
    releaser.join();
}

TEST_F(LockTest, ProgramsDoNotInheritIt) {
    auto lock = std::optional(DirectoryLock::acquire(file(), "test", 0));
    SpawnOptions options;
    options.program = "/bin/sleep";
    options.arguments = {"1000"};
    Child child = Child::spawn(options);
    lock.reset();
    DirectoryLock::acquire(file(), "test", 0);
    EXPECT_FALSE(child.poll());
}

TEST_F(LockTest, HostileLockFiles) {
    put(file(), "\x1b[2Jevil\x07" + std::string(10'000, 'x') + "\nsecond line");
    const Fd other = open_file(file(), O_RDONLY);
    const FileLock held(other, file(), 0);
    try {
        DirectoryLock::acquire(file(), "test", 0);
        FAIL() << "the lock is held";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::busy);
        EXPECT_LT(error.message().size(), 400U);
        EXPECT_NE(error.message().find("?[2Jevil?xxx"), std::string::npos) << error.message();
        EXPECT_EQ(error.message().find("second"), std::string::npos);
    }
    fs::remove(file());
    ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
    EXPECT_TRUE(throws_error(ErrorCode::config, "not a regular file",
                             [&] { DirectoryLock::acquire(file(), "test", 0); }));
    fs::remove(file());
    put(directory_.path() / "target", "target");
    fs::create_symlink(directory_.path() / "target", file());
    EXPECT_TRUE(throws_error(ErrorCode::io, "immbackup.lock",
                             [&] { DirectoryLock::acquire(file(), "test", 0); }));
    EXPECT_EQ(content_of(directory_.path() / "target"), "target");
}

// Processes count in a file, reading and writing it without any other protection.
TEST_F(LockTest, ExcludesProcesses) {
    const fs::path counter = directory_.path() / "counter";
    put(counter, "0");
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            const Fd fd = open_file(file(), O_RDWR | O_CREAT);
            for (int n = 0; n < 50; ++n) {
                const FileLock lock(fd, file(), 60'000);
                const int value = std::stoi(content_of(counter));
                ::sched_yield();
                put(counter, std::to_string(value + 1));
            }
            ::_exit(0);
        }
        children.push_back(pid);
    }
    for (const pid_t pid : children) {
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        EXPECT_TRUE(succeeded(status));
    }
    EXPECT_EQ(content_of(counter), "200");
}

TEST(Cancel, FirstReasonCounts) {
    CancelToken token;
    EXPECT_FALSE(token.cancelled());
    EXPECT_FALSE(token.reason());
    token.check();
    pollfd wait{token.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 0), 0);
    token.cancel(Error(ErrorCode::timeout, "first", "detail", "hint"));
    token.cancel(Error(ErrorCode::cancelled, "second"));
    EXPECT_TRUE(token.cancelled());
    EXPECT_EQ(token.reason()->hint(), "hint");
    for (int i = 0; i < 3; ++i) {  // for ever
        EXPECT_EQ(::poll(&wait, 1, 0), 1);
        EXPECT_TRUE(throws_error(ErrorCode::timeout, "first", [&] { token.check(); }));
    }
}

TEST(Cancel, WakesEverybody) {
    CancelToken token;
    std::atomic<int> woken{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            pollfd wait{token.fd(), POLLIN, 0};
            ::poll(&wait, 1, -1);
            woken += token.cancelled() ? 1 : 0;
        });
    }
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { token.cancel(Error(ErrorCode::cancelled, "stop")); });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(woken, 4);
}

}  // namespace
}  // namespace immbackup::test
