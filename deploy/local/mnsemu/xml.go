package mnsemu

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// element is a parsed request. Namespaces are dropped: SDKs send the right one, one with a slash too many, or none.
type element struct {
	name     string
	text     string
	children []*element
}

// unclosed is an element whose end has not come. Its text is collected apart, since a comment or a CDATA section cuts it, and
// putting the pieces of a long one together one by one would take the square of their number.
type unclosed struct {
	*element
	text []byte
}

// byteOrderMark may stand before a document; .NET clients begin every one with it.
const byteOrderMark = "\uFEFF"

// utf8Reader takes the name of UTF-8 that encoding/xml does not know. The protocol has no other encoding.
func utf8Reader(encoding string, body io.Reader) (io.Reader, error) {
	if strings.EqualFold(encoding, "utf8") {
		return body, nil
	}
	return nil, fmt.Errorf("the encoding is %s, want UTF-8", encoding)
}

// parseXML reads one document with nothing behind it.
func parseXML(body []byte) (*element, error) {
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte(byteOrderMark))))
	decoder.CharsetReader = utf8Reader
	var root *element
	var open []unclosed
	for {
		token, err := decoder.Token()
		if err == io.EOF && root != nil {
			return root, nil
		}
		if err == io.EOF {
			return nil, errors.New("there is no element")
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			child := &element{name: t.Name.Local}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.children = append(parent.children, child)
			} else if root != nil {
				return nil, errors.New("there is a second root element")
			} else {
				root = child
			}
			open = append(open, unclosed{element: child})
		case xml.EndElement:
			closed := open[len(open)-1]
			closed.element.text = string(closed.text)
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				innermost := &open[len(open)-1]
				innermost.text = append(innermost.text, t...)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("there is text outside the root element")
			}
		}
	}
}

// child is the first child of that name, or nil.
func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// value is the trimmed text of the first child of that name, empty when there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return strings.TrimSpace(c.text)
	}
	return ""
}

// integer is the value of an optional child within limits; absent gives fallback.
func (e *element) integer(name string, low, high int64, unit string, fallback int64) (int64, error) {
	if e.child(name) == nil {
		return fallback, nil
	}
	n, err := strconv.ParseInt(e.value(name), 10, 64)
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
	switch strings.ToLower(e.value(name)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalidArgument("The value of %s should be True or False.", name)
}

// namespace of every answer. The documents show it with a slash at the end; the Java SDK reads errors only without.
const namespace = "http://mns.aliyuncs.com/doc/v1"

// document writes an answer, byte for byte as recorded answers are: no encoding named, no line feed at the end. It is indented because the PHP SDK loses properties of compact answers, and written by hand because
// encoding/xml takes several times as long.
type document struct {
	buf   []byte
	depth int
}

// newDocument writes a whole answer: a root element around what fill adds.
func newDocument(root string, fill func(*document)) []byte {
	d := &document{buf: make([]byte, 0, 768)}
	d.buf = append(d.buf, `<?xml version="1.0" ?>`+"\n<"...)
	d.buf = append(d.buf, root...)
	d.buf = append(d.buf, ` xmlns="`+namespace+`">`+"\n"...)
	d.depth++
	fill(d)
	d.depth--
	d.end(root)
	return bytes.TrimSuffix(d.buf, []byte("\n"))
}

// element adds a child with children.
func (d *document) element(name string, fill func()) {
	d.start(name)
	d.buf = append(d.buf, '\n')
	d.depth++
	fill()
	d.depth--
	d.indent()
	d.end(name)
}

// text adds a child with text.
func (d *document) text(name, value string) {
	d.start(name)
	d.escape(value)
	d.end(name)
}

func (d *document) integer(name string, value int64) {
	d.start(name)
	d.buf = strconv.AppendInt(d.buf, value, 10)
	d.end(name)
}

// boolean writes True or False: the PHP SDK compares with "True".
func (d *document) boolean(name string, value bool) {
	if value {
		d.text(name, "True")
		return
	}
	d.text(name, "False")
}

func (d *document) start(name string) {
	d.indent()
	d.buf = append(d.buf, '<')
	d.buf = append(d.buf, name...)
	d.buf = append(d.buf, '>')
}

func (d *document) end(name string) {
	d.buf = append(d.buf, '<', '/')
	d.buf = append(d.buf, name...)
	d.buf = append(d.buf, '>', '\n')
}

func (d *document) indent() {
	for range d.depth {
		d.buf = append(d.buf, ' ', ' ')
	}
}

// escape keeps carriage returns as references, else every XML parser turns them into line feeds, and replaces what XML cannot
// carry: a refusal quotes what was sent.
func (d *document) escape(text string) {
	begin := 0
	for i, c := range text {
		instead := escaped(c)
		if instead == "" {
			continue
		}
		d.buf = append(append(d.buf, text[begin:i]...), instead...)
		_, size := utf8.DecodeRuneInString(text[i:]) // of a byte that is not UTF-8 it is 1
		begin = i + size
	}
	d.buf = append(d.buf, text[begin:]...)
}

// escaped is what stands for a character, empty for one that stands for itself. A byte that is not UTF-8 comes as RuneError.
func escaped(c rune) string {
	switch {
	case c == '&':
		return "&amp;"
	case c == '<':
		return "&lt;"
	case c == '>':
		return "&gt;"
	case c == '\r':
		return "&#13;"
	case c < ' ' && c != '\t' && c != '\n' || c == 0xFFFE || c == 0xFFFF || c == utf8.RuneError:
		return string(utf8.RuneError)
	}
	return ""
}
