// The process around the supervisor: signals, the wait, the way out.
//
// It is connected to no database, holds no transaction and touches no file: everything that could
// hang happens in the job. It is also a child subreaper, because an orphan that ends by a signal
// under a postmaster that is PID 1 (in a container) would be taken for a crashed server process,
// and the whole cluster would restart: orphans of a killed job come to the scheduler instead.
#include "postgres/scheduler.h"

#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "postgres/guard.h"
#include "postgres/shmem.h"
#include "postgres/supervisor.h"

namespace immbackup {

namespace {

// Lives as long as the process: no destructor ever runs under a longjmp.
Supervisor* supervisor = nullptr;
uint32 main_wait_event = 0;

constexpr int kRestartSeconds = 5;

void wake_up(SIGNAL_ARGS) {
    const int saved = errno;
    (void)postgres_signal_arg;
    SetLatch(MyLatch);
    errno = saved;
}

// However this process ends (but by SIGQUIT, after which the job finds the end of its stdin): no
// job is left behind, and nobody waits for a scheduler that is gone.
void on_exit(int /*code*/, Datum /*argument*/) {
    LWLockReleaseAll();
    if (supervisor != nullptr) {
        supervisor->abandon();
    }
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    shared->worker = nullptr;
    shared->worker_pid = 0;
    shared->worker_state = WorkerState::down;
    shared->worker_since = GetCurrentTimestamp();
    LWLockRelease(shared->lock);
    ConditionVariableBroadcast(&shared->changed);
}

void announce() {
    LWLockAcquire(shared->lock, LW_EXCLUSIVE);
    shared->worker = MyProc;
    shared->worker_pid = MyProcPid;
    shared->worker_state = WorkerState::starting;
    shared->worker_since = GetCurrentTimestamp();
    LWLockRelease(shared->lock);
}

// The directory of the running server's programs, where pg_dump and our own program are.
void program_folder(char (&folder)[MAXPGPATH]) {
    strlcpy(folder, my_exec_path, MAXPGPATH);
    get_parent_directory(folder);
}

// The clock on the wall, as a descriptor: it fires at a time, not after a time, and when somebody
// sets the clock, so that a schedule follows the clock wherever it goes.
class WallClockTimer {
  public:
    int fd() const { return fd_; }
    void open() { fd_ = ::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK); }
    void set(std::optional<Time> at) {
        if (fd_ < 0 || (armed_ && at == at_)) {
            return;
        }
        itimerspec when{};
        if (at) {
            const auto ms = std::max<std::int64_t>(at->time_since_epoch().count(), 1);
            when.it_value.tv_sec = ms / 1000;
            when.it_value.tv_nsec = ms % 1000 * 1'000'000;
        }
        armed_ = ::timerfd_settime(fd_, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when,
                                   nullptr) == 0;
        at_ = at;
    }
    void fired() {
        std::uint64_t times = 0;
        // ECANCELED, or how often: in both cases the supervisor looks at the clock.
        if (::read(fd_, &times, sizeof times) != static_cast<ssize_t>(sizeof times)) {
            times = 0;
        }
        armed_ = false;
    }

  private:
    int fd_ = -1;
    bool armed_ = false;
    std::optional<Time> at_;
};

WallClockTimer timer;

void add_pipes(WaitEventSet* set, const WaitList::Pipes& pipes) {
    if (pipes.input >= 0) {
        AddWaitEventToSet(set, WL_SOCKET_WRITEABLE, pipes.input, nullptr, nullptr);
    }
    if (pipes.output >= 0) {
        AddWaitEventToSet(set, WL_SOCKET_READABLE, pipes.output, nullptr, nullptr);
    }
    if (pipes.log >= 0) {
        AddWaitEventToSet(set, WL_SOCKET_READABLE, pipes.log, nullptr, nullptr);
    }
}

// Sleeps until something happens that the supervisor waits for. True where the postmaster is gone.
bool wait_for_work(long timeout_ms) {
    static WaitEventSet* set = nullptr;
    static WaitList waited{};
    constexpr int kMaxEvents = 12;
    const WaitList wanted = supervisor->wait_list();
    if (set == nullptr || !(wanted == waited)) {
        if (set != nullptr) {
            FreeWaitEventSet(set);
            set = nullptr;
        }
        set = compat_create_wait_event_set(kMaxEvents);
        AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
        AddWaitEventToSet(set, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
        AddWaitEventToSet(set, WL_SOCKET_READABLE, timer.fd(), nullptr, nullptr);
        add_pipes(set, wanted.job);
        add_pipes(set, wanted.notifier);
        add_pipes(set, wanted.maintainer);
        waited = wanted;
    }
    timer.set(supervisor->wake_at());
    WaitEvent happened[kMaxEvents];
    const int count =
        WaitEventSetWait(set, timeout_ms, happened, lengthof(happened),
                         compat_wait_event("ImmbackupSchedulerMain", &main_wait_event));
    bool orphaned = false;
    for (int i = 0; i < count; ++i) {
        if (happened[i].events & WL_LATCH_SET) {
            ResetLatch(MyLatch);
        }
        if (happened[i].fd == timer.fd()) {
            timer.fired();
        }
        if (happened[i].events & WL_POSTMASTER_DEATH) {
            orphaned = true;
        }
    }
    return orphaned;
}

void run() {
    char folder[MAXPGPATH];
    program_folder(folder);
    const char* bindir = folder;
    guarded([&bindir] { supervisor = new Supervisor(bindir); });

    // What a round of the loop allocates is gone with the round.
    MemoryContext round = make_memory_context(TopMemoryContext, "immbackup scheduler round");
    MemoryContextSwitchTo(round);
    bool shutting_down = false;
    for (;;) {
        MemoryContextReset(round);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            guarded([] { supervisor->reloaded(); });
        }
        if (ShutdownRequestPending && !shutting_down) {
            shutting_down = true;
            guarded([] { supervisor->shut_down(); });
        }
        guarded([] { supervisor->step(); });
        if (supervisor->finished()) {
            return;
        }
        if (wait_for_work(supervisor->timeout_ms())) {
            // Nobody is there any more to restart us or to take records; and a new server cannot
            // start while we hold the shared memory.
            proc_exit(1);
        }
    }
}

}  // namespace

void register_scheduler() {
    if (IsBinaryUpgrade) {
        return;
    }
    BackgroundWorker worker;
    std::memset(&worker, 0, sizeof worker);
    // Connected (to no database) like the logical replication launcher: seen in pg_stat_activity.
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_ConsistentState;
    worker.bgw_restart_time = kRestartSeconds;
    strlcpy(worker.bgw_library_name, "immbackup", sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_function_name, "immbackup_scheduler_main", sizeof worker.bgw_function_name);
    strlcpy(worker.bgw_name, "immbackup scheduler", sizeof worker.bgw_name);
    strlcpy(worker.bgw_type, "immbackup scheduler", sizeof worker.bgw_type);
    RegisterBackgroundWorker(&worker);
}

}  // namespace immbackup

extern "C" PGDLLEXPORT void immbackup_scheduler_main(Datum argument);

extern "C" void immbackup_scheduler_main(Datum /*argument*/) {
    using namespace immbackup;
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    // Not die(): the job is stopped and the stop recorded in order, see Supervisor::shut_down.
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    // pg_cancel_backend() signals our whole group, so that the job cancels the run; we stay.
    pqsignal(SIGINT, SIG_IGN);
    pqsignal(SIGCHLD, wake_up);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    // The three pipes of each of two jobs, and the timer.
    for (int i = 0; i < 7; ++i) {
        ReserveExternalFD();
    }
    timer.open();
    if (timer.fd() < 0) {
        ereport(ERROR, (errcode_for_file_access(), errmsg("immbackup could not create a timer")));
    }
    announce();
    before_shmem_exit(on_exit, 0);
    run();
    // Never 0: the postmaster would not start us again, and we may have been ended by
    // pg_terminate_backend() alone. At a shutdown it does not restart anybody.
    proc_exit(1);
}
