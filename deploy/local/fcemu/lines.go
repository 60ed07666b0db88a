package fcemu

import (
	"bufio"
	"bytes"
	"io"
	"sync"
)

// lineLimit is the longest line that is kept in one piece.
const lineLimit = 64 << 10

// lineWriter lets many instances print to one writer without mixing their lines.
type lineWriter struct {
	mu sync.Mutex
	to io.Writer
}

// copy hands on what r delivers, whole lines at a time, until r ends. Lines longer than lineLimit are cut; a last line without an
// end gets one. said keeps the end of it.
func (w *lineWriter) copy(r io.Reader, said *tail) {
	lines := bufio.NewReaderSize(r, lineLimit)
	for {
		line, err := lines.ReadSlice('\n')
		said.add(line)
		w.write(line)
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// write prints one line. A writer that fails must not stop the function that prints, so its errors are dropped.
func (w *lineWriter) write(line []byte) {
	if len(line) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.to.Write(line)
	if line[len(line)-1] != '\n' {
		_, _ = w.to.Write([]byte{'\n'})
	}
}

// tailLimit is how much of an instance's output is kept, in bytes.
const tailLimit = 2 << 10

// tail keeps the end of what an instance has printed. Its zero value is empty.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, line...)
	if over := len(t.text) - tailLimit; over > 0 {
		t.text = append([]byte("…"), t.text[over+len("…"):]...)
	}
}

// quote is what was printed as the end of a sentence; nothing if there is none.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := bytes.TrimSpace(t.text); len(text) > 0 {
		return "; it printed: " + string(text)
	}
	return ""
}
