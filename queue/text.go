package queue

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
)

// carried returns a body as MNS can carry it: as it is, or in Base64 when it holds what XML has no way to write (control
// characters, U+FFFE and U+FFFF, bytes that are not UTF-8). The SDK would replace those without a word. Every reader of our
// queues takes both forms.
func carried(body string) string {
	if !utf8.ValidString(body) || strings.ContainsFunc(body, notXML) {
		return base64.StdEncoding.EncodeToString([]byte(body))
	}
	return body
}

// notXML reports a character outside of the production Char of XML 1.0.
func notXML(r rune) bool {
	return (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r == 0xFFFE || r == 0xFFFF
}

// xmlOf writes the documents of the two send operations; it returns anything else as it is, for the SDK to write. The SDK
// turns each quotation mark into a character reference, and our messages are JSON, which makes them a third longer and both
// ends slower than XML asks for.
func xmlOf(message any) any {
	var out bytes.Buffer
	switch m := message.(type) {
	case mns.MessageSendRequest:
		writeMessage(&out, m)
	case mns.BatchMessageSendRequest:
		out.WriteString("<Messages>")
		for _, one := range m.Messages {
			writeMessage(&out, one)
		}
		out.WriteString("</Messages>")
	default:
		return message
	}
	return out.Bytes()
}

func writeMessage(out *bytes.Buffer, m mns.MessageSendRequest) {
	out.Grow(len(m.MessageBody) + 128)
	out.WriteString("<Message><MessageBody>")
	rest := m.MessageBody
	for {
		at := strings.IndexAny(rest, "&<>\r")
		if at < 0 {
			break
		}
		out.WriteString(rest[:at])
		out.WriteString(reference(rest[at]))
		rest = rest[at+1:]
	}
	out.WriteString(rest)
	out.WriteString("</MessageBody><DelaySeconds>" + strconv.FormatInt(m.DelaySeconds, 10) + "</DelaySeconds><Priority>" +
		strconv.FormatInt(m.Priority, 10) + "</Priority></Message>")
}

func reference(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	return "&#13;" // a reader would turn a bare carriage return into a line feed (XML 1.0, section 2.11)
}
