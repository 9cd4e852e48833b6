// What the vault's helper may say to a job: any line is an answer, an error of a known code, or no
// answer; and what is said in words comes back.
#include <string>

#include "fuzz.h"
#include "store/vault_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace immbackup;
    const std::string_view input = fuzz::text_of(data, size);
    for (const std::string& line :
         {std::string(input), "ok " + std::string(input), "error io " + std::string(input)}) {
        try {
            const VaultAnswer answer = parse_vault_answer(line);
            fuzz::require(!answer.descriptor);
        } catch (const Error& error) {
            fuzz::require(error.code() != ErrorCode::ok);
        }
    }
    const VaultAnswer said = parse_vault_answer("ok" + vault_field("said", input));
    fuzz::require(input.empty() ? !said.has("said") : said.text("said") == input);
    return 0;
}
