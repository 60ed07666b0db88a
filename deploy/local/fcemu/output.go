package fcemu

import (
	"bytes"
	"io"
	"sync"
)

const (
	// lineLimit is the longest line that is kept in one piece.
	lineLimit = 64 << 10
	// tailLimit is how much of an instance's output is kept, in bytes.
	tailLimit = 2 << 10
)

// printer lets many instances print to one writer without mixing their lines.
type printer struct {
	mu sync.Mutex
	to io.Writer
}

// print prints a line. A writer that fails must not stop the function that prints, so its errors are dropped.
func (p *printer) print(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.to.Write(append(line, '\n'))
}

// output is what one instance prints.
type output struct {
	printer *printer

	mu   sync.Mutex
	tail []byte
}

func (o *output) line(text []byte) {
	o.mu.Lock()
	o.tail = append(append(o.tail, text...), '\n')
	o.tail = o.tail[max(0, len(o.tail)-tailLimit):]
	o.mu.Unlock()
	o.printer.print(text)
}

// quote is the end of what was printed, as the end of a sentence; empty if nothing was.
func (o *output) quote() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if text := bytes.TrimSpace(o.tail); len(text) > 0 {
		return "; it printed: " + string(text)
	}
	return ""
}

// stream is stdout or stderr of an instance. It hands on whole lines.
type stream struct {
	output *output
	rest   []byte
}

// Write implements io.Writer; it never fails.
func (s *stream) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		end := bytes.IndexByte(s.rest, '\n')
		next := end + 1
		if end < 0 || end > lineLimit {
			if end, next = lineLimit, lineLimit; len(s.rest) < lineLimit {
				return len(p), nil
			}
		}
		s.output.line(bytes.Clone(s.rest[:end]))
		s.rest = s.rest[next:]
	}
}

// flush hands on a last line that has no end.
func (s *stream) flush() {
	if len(s.rest) > 0 {
		s.output.line(s.rest)
	}
}
