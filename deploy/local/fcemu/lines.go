package fcemu

import (
	"bufio"
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
// end gets one.
func (w *lineWriter) copy(r io.Reader) {
	lines := bufio.NewReaderSize(r, lineLimit)
	for {
		line, err := lines.ReadSlice('\n')
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
