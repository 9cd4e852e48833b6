// Uploads a file while it grows, on threads of its own: whoever writes the file never waits for
// the store. Parts are read back from the page cache for their digests, for sending, and for
// sending again; none is ever held in memory. Nothing becomes visible in the bucket before
// complete(), which the caller calls when the file is proven whole.
//
// What goes wrong in the background is kept, and thrown by complete(): an upload that fails never
// fails the run by itself.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/cancel.h"
#include "io/cancel_link.h"
#include "io/fd.h"
#include "s3/client.h"
#include "s3/part_plan.h"

namespace immbackup::s3 {

// How much of a file is written. The writer reports, uploads wait. Safe from any thread.
class Growth {
  public:
    void grown_to(std::uint64_t bytes);  // never less than before
    void finished();                     // no more will come
    void failed();                       // the file is no good: whoever waits gives up
    struct State {
        std::uint64_t bytes = 0;
        bool finished = false;
        bool failed = false;
    };
    State state() const;
    // Until there are at least this many bytes, or it has ended. Throws the token's reason.
    State wait_for(std::uint64_t bytes, const CancelToken& cancel) const;

  private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    State state_;
};

// What an object in the bucket must be.
struct ExpectedObject {
    std::uint64_t size = 0;
    std::string sha256;  // as x-amz-checksum-sha256: base64, with "-<parts>" where in parts
    std::string etag;    // where it means something; empty: unknown
};

struct Uploaded {
    std::string key;
    std::string version_id;
    std::string upload_id;  // empty: a single PUT
    ExpectedObject expected;
    // For the receipt: how it was cut.
    std::uint32_t parts = 0;
    std::uint64_t first_part = 0;
    std::uint32_t parts_of_one_size = 0;
};

class Uploader {
  public:
    struct Callbacks {
        // Opens the file, once, when there is something to be read. The descriptor is kept, so the
        // file may be renamed meanwhile.
        std::function<Fd()> open;
        // An upload exists, and none of its parts is sent yet: record the id, so that after a
        // crash it can be aborted. From a background thread; what it throws ends the upload.
        std::function<void(const std::string& upload_id)> began;
        std::function<void(std::uint64_t bytes)> sent;  // in all; may be empty
    };
    // Starts at once. Client and growth outlive it. What stops the client's requests on this thread
    // stops its threads, too.
    Uploader(Client& client, ObjectSpec spec, const Growth& growth, PartPlan plan,
             Callbacks callbacks);
    // Aborts what was not completed.
    ~Uploader();
    Uploader(const Uploader&) = delete;
    Uploader& operator=(const Uploader&) = delete;

    // After growth.finished(): waits for the parts and completes. Where the upload is gone (409,
    // NoSuchUpload) it begins anew from the file, once. Error(exists) where only_if_absent found
    // an object.
    Uploaded complete();
    // Nothing more is sent. Does not wait.
    void stop();
    // Stops at once and aborts the upload. Error where the store could not be told in so much time;
    // the id is then still to be aborted later. Does nothing after complete().
    void abort(std::chrono::milliseconds within = kAbortTime);
    // An abort is a courtesy to the bucket's owner.
    static constexpr std::chrono::seconds kAbortTime{20};
    // Stops, and leaves the upload as it is: the id is to be aborted later.
    void leave();
    std::optional<Error> problem() const;  // of the background
    std::string upload_id() const;

  private:
    struct Part {
        std::uint32_t number;
        std::uint64_t offset;
        std::uint64_t size;
    };
    void start();
    void join();
    void work();
    void give_up(const Error& error);
    std::optional<Part> next_part();
    void begin_upload();
    Uploaded finish();

    Client& client_;
    const ObjectSpec spec_;
    const Growth& growth_;
    const PartPlan plan_;
    const Callbacks callbacks_;
    CancelToken stop_;
    std::unique_ptr<CancelLink> link_;
    std::mutex claim_;  // held while the next part is waited for: guards these three
    Fd fd_;
    std::uint32_t next_number_ = 1;
    bool all_claimed_ = false;
    mutable std::mutex mutex_;  // guards what follows
    std::string upload_id_;
    std::string nonce_;
    std::map<std::uint32_t, SentPart> sent_;
    std::uint64_t sent_bytes_ = 0;
    std::optional<Error> problem_;
    bool done_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace immbackup::s3
