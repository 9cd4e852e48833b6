#include "s3/xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <mutex>

#include "core/error.h"

namespace immbackup::s3 {

namespace {

// A parser's own thread may not be the first one to use libxml2.
void prepare_libxml() {
    static std::once_flag once;
    std::call_once(once, [] { xmlInitParser(); });
}

void ignore_error(void* /*context*/, xmlErrorPtr /*error*/) {}

struct FreeParser {
    void operator()(xmlParserCtxt* parser) const { xmlFreeParserCtxt(parser); }
};

std::string local_name(const _xmlNode* node) {
    return node->name == nullptr ? "" : reinterpret_cast<const char*>(node->name);
}

bool is_element(const _xmlNode* node) {
    return node->type == XML_ELEMENT_NODE;
}

}  // namespace

void XmlDocument::Free::operator()(_xmlDoc* document) const {
    xmlFreeDoc(document);
}

XmlDocument XmlDocument::parse(std::string_view text) {
    prepare_libxml();
    if (text.size() > kXmlLimit) {
        throw Error(ErrorCode::corrupt, "the store's answer is too large");
    }
    // Refused before it is parsed, so that nothing it declares is ever looked at; again below, for
    // encodings in which these bytes look different.
    if (text.find("<!DOCTYPE") != std::string_view::npos) {
        throw Error(ErrorCode::corrupt,
                    "the store's answer has a document type, which no store sends");
    }
    const std::unique_ptr<xmlParserCtxt, FreeParser> parser(xmlNewParserCtxt());
    if (!parser) {
        throw std::bad_alloc();
    }
    // Without a handler of its own, a parser prints to stderr.
    parser->sax->serror = ignore_error;
    XmlDocument out;
    out.document_.reset(xmlCtxtReadMemory(
        parser.get(), text.data(), static_cast<int>(text.size()), nullptr, nullptr,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA));
    if (!out.document_ || xmlDocGetRootElement(out.document_.get()) == nullptr) {
        throw Error(ErrorCode::corrupt, "the store's answer is not well-formed XML");
    }
    if (out.document_->intSubset != nullptr || out.document_->extSubset != nullptr) {
        throw Error(ErrorCode::corrupt,
                    "the store's answer has a document type, which no store sends");
    }
    return out;
}

XmlNode XmlDocument::root() const {
    return XmlNode(xmlDocGetRootElement(document_.get()));
}

std::string XmlNode::name() const {
    return local_name(node_);
}

std::string XmlNode::text() const {
    xmlChar* content = xmlNodeGetContent(node_);
    std::string out = content == nullptr ? "" : reinterpret_cast<const char*>(content);
    xmlFree(content);
    const std::size_t first = out.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) {
        return {};
    }
    return out.substr(first, out.find_last_not_of(" \t\r\n") - first + 1);
}

std::optional<XmlNode> XmlNode::child(std::string_view name) const {
    for (const _xmlNode* node = node_->children; node != nullptr; node = node->next) {
        if (is_element(node) && local_name(node) == name) {
            return XmlNode(node);
        }
    }
    return std::nullopt;
}

std::vector<XmlNode> XmlNode::children(std::string_view name) const {
    std::vector<XmlNode> out;
    for (const _xmlNode* node = node_->children; node != nullptr; node = node->next) {
        if (is_element(node) && local_name(node) == name) {
            out.emplace_back(node);
        }
    }
    return out;
}

std::string XmlNode::value(std::string_view name) const {
    const auto found = child(name);
    return found ? found->text() : std::string();
}

std::string xml_escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\r':
                out += "&#13;";
                break;
            default:
                if (static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n') {
                    out += c;
                }
        }
    }
    return out;
}

}  // namespace immbackup::s3
