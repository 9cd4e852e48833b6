// Answers of a store, which may be anybody's: parsed by libxml2 without network, entities or
// document type, bounded in size and depth, silent. Elements are found by their local name, since
// stores differ in namespace and order.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct _xmlDoc;
struct _xmlNode;

namespace immbackup::s3 {

inline constexpr std::size_t kXmlLimit = std::size_t{8} << 20;  // bytes

// Valid as long as its document.
class XmlNode {
  public:
    explicit XmlNode(const _xmlNode* node) : node_(node) {}
    std::string name() const;  // without prefix
    std::string text() const;  // of itself and all below, without blanks at the ends
    std::optional<XmlNode> child(std::string_view name) const;  // the first
    std::vector<XmlNode> children(std::string_view name) const;
    // The text of a child; empty where there is none.
    std::string value(std::string_view name) const;

  private:
    const _xmlNode* node_;
};

class XmlDocument {
  public:
    // Error(corrupt) for what is too large, not well-formed, or has a document type.
    static XmlDocument parse(std::string_view text);
    XmlNode root() const;

  private:
    struct Free {
        void operator()(_xmlDoc* document) const;
    };
    std::unique_ptr<_xmlDoc, Free> document_;
};

// For the text of an element that we write. Characters that XML cannot hold are left out.
std::string xml_escape(std::string_view text);

}  // namespace immbackup::s3
