// Columns of text for a person, as psql's unaligned friends print them.
#pragma once

#include <string>
#include <vector>

namespace immbackup {

// The first row is the header; columns are as wide as their widest cell. Cells are made printable.
void print_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace immbackup
