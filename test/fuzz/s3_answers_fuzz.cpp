// Whatever a store answers is read, or refused with an Error(corrupt); dates and profiles as well.
#include <string>

#include "core/error.h"
#include "fuzz.h"
#include "s3/answers.h"
#include "s3/credentials.h"
#include "s3/lock_terms.h"
#include "s3/uri.h"

namespace {

template <typename Parse>
void tried(const Parse& parse) {
    try {
        parse();
    } catch (const immbackup::Error& error) {
        immbackup::fuzz::require(error.code() == immbackup::ErrorCode::corrupt);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace immbackup::s3;
    const std::string_view text = immbackup::fuzz::text_of(data, size);
    if (const auto error = parse_error(text)) {
        immbackup::fuzz::require(!error->code.empty() && error->message.size() <= 303);
        immbackup::fuzz::require(error->message.find('\n') == std::string::npos);
    }
    tried([&] { parse_objects(text); });
    tried([&] { parse_versions(text); });
    tried([&] { parse_uploads(text); });
    tried([&] { parse_upload_id(text); });
    tried([&] { parse_completed(text); });
    tried([&] { parse_retention(text); });
    tried([&] { parse_legal_hold(text); });
    tried([&] { parse_lock_configuration(text); });
    tried([&] { parse_lifecycle(text); });
    if (const auto time = parse_store_time(text)) {
        immbackup::fuzz::require(parse_store_time(immbackup::format_time(*time)) == time);
    }
    parse_http_date(text);
    parse_profiles(text, true);
    immbackup::fuzz::require(decode(encode(text)) == text);
    return 0;
}
