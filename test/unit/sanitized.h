// For tests that take long: less of the same is enough where each step is watched.
#pragma once

namespace immbackup::test {

// Whether the sanitizers, which take ten times as long, watch this program. GCC says it by a macro,
// Clang (before 21) only by a feature.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace immbackup::test
