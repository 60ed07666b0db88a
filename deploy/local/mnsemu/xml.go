package mnsemu

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// element is a piece of a document, read or to be written: either text or children. Namespaces of requests are ignored: SDKs send
// the right one, one with a slash too many, or none.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// byteOrderMark may stand before a document; .NET clients begin every one with it.
const byteOrderMark = "\uFEFF"

// parseXML reads one document with nothing but white space and comments around it.
func parseXML(body []byte) (*element, error) {
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte(byteOrderMark))))
	// The protocol has no encoding but UTF-8; utf8 is a name of it that encoding/xml does not know.
	decoder.CharsetReader = func(encoding string, body io.Reader) (io.Reader, error) {
		if strings.EqualFold(encoding, "utf8") {
			return body, nil
		}
		return nil, fmt.Errorf("the encoding is %s, want UTF-8", encoding)
	}
	var root *element
	for {
		token, err := decoder.Token()
		switch t := token.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, errors.New("there is a second root element")
			}
			root = &element{}
			err = decoder.DecodeElement(root, &t)
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("there is text outside the root element")
			}
		}
		switch {
		case errors.Is(err, io.EOF) && root != nil:
			return root, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("there is no element")
		case err != nil:
			return nil, err
		}
	}
}

// name is the element's, without a namespace.
func (e *element) name() string { return e.XMLName.Local }

// all are the children of a name.
func (e *element) all(name string) []*element {
	var found []*element
	for i := range e.Children {
		if e.Children[i].name() == name {
			found = append(found, &e.Children[i])
		}
	}
	return found
}

// child is the first child of a name, or nil.
func (e *element) child(name string) *element {
	if found := e.all(name); len(found) > 0 {
		return found[0]
	}
	return nil
}

// value is the trimmed text of the first child of that name, empty when there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return strings.TrimSpace(c.Text)
	}
	return ""
}

// integer is the value of an optional child within limits; absent gives fallback.
func (e *element) integer(name string, low, high int64, unit string, fallback int64) (int64, error) {
	if e.child(name) == nil {
		return fallback, nil
	}
	return parseInteger(name, e.value(name), low, high, unit)
}

// parseInteger reads a number within limits.
func parseInteger(name, text string, low, high int64, unit string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, outOfRange(name, low, high, unit)
	}
	return n, nil
}

// boolean is the value of an optional child, True or False in any case; absent gives fallback.
func (e *element) boolean(name string, fallback bool) (bool, error) {
	if e.child(name) == nil {
		return fallback, nil
	}
	return parseBoolean(name, e.value(name))
}

func parseBoolean(name, text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalidArgument("The value of %s should be True or False.", name)
}

// group makes an element with children.
func group(name string, children ...element) element {
	return element{XMLName: xml.Name{Local: name}, Children: children}
}

// field makes an element with a text: a number, True, False (the PHP SDK compares with "True") or a string.
func field(name string, value any) element {
	text := fmt.Sprint(value)
	switch value {
	case true:
		text = "True"
	case false:
		text = "False"
	}
	return element{XMLName: xml.Name{Local: name}, Text: text}
}

// namespace of every answer. The documents show it with a slash at the end; the Java SDK reads errors only without.
const namespace = "http://mns.aliyuncs.com/doc/v1"

// render writes a document byte for byte as recorded answers are: no encoding named, no line feed at the end. It is indented because
// the PHP SDK loses properties of compact answers. encoding/xml would write quotes and line feeds as references, which the service
// does not.
func render(root element) []byte {
	b := &bytes.Buffer{}
	fmt.Fprintf(b, "<?xml version=\"1.0\" ?>\n<%s xmlns=\"%s\">\n", root.name(), namespace)
	for _, c := range root.Children {
		c.write(b, "  ")
	}
	fmt.Fprintf(b, "</%s>", root.name())
	return b.Bytes()
}

func (e *element) write(b *bytes.Buffer, indent string) {
	b.WriteString(indent + "<" + e.name() + ">")
	if e.Children == nil {
		escape(b, e.Text)
	} else {
		b.WriteString("\n")
		for _, c := range e.Children {
			c.write(b, indent+"  ")
		}
		b.WriteString(indent)
	}
	b.WriteString("</" + e.name() + ">\n")
}

// escape keeps carriage returns as references, else every XML parser turns them into line feeds, and replaces what XML cannot
// carry: a refusal quotes what was sent. What is not UTF-8 comes as U+FFFD.
func escape(b *bytes.Buffer, text string) {
	for _, c := range text {
		switch {
		case c == '&':
			b.WriteString("&amp;")
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c == '\r':
			b.WriteString("&#13;")
		case c < ' ' && c != '\t' && c != '\n', c == 0xFFFE, c == 0xFFFF:
			b.WriteRune('\uFFFD')
		default:
			b.WriteRune(c)
		}
	}
}
