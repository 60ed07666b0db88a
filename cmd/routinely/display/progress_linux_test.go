package display_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"routinely/cmd/routinely/display"
)

// terminal opens a pseudo-terminal (man 4 pts) and returns its two ends: what a person sees, and what a program writes to.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func TestWidthOfATerminal(t *testing.T) {
	_, program := terminal(t)
	if got := display.Width(program, "40"); got != 80 {
		t.Errorf("got %d", got)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name  string
		total int
		takes time.Duration
		want  string
	}{
		{"shows how much there is of what, and goes away", 30, 1100 * time.Millisecond, "7/30"},
		{"counts what nobody knows the end of", 0, 1100 * time.Millisecond, " 7 "},
		{"shows nothing of what takes less than a second", 30, 900 * time.Millisecond, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			person, program := terminal(t)
			if !display.IsTerminal(program) {
				t.Fatal("a terminal is not taken for one")
			}
			seen := make(chan string)
			go func() {
				text, _ := io.ReadAll(person) // ends with an error when the program's end is closed
				seen <- string(text)
			}()
			synctest.Test(t, func(*testing.T) {
				bar := display.NewProgress(program, "ended", test.total)
				bar.Set(7)
				time.Sleep(test.takes)
				bar.Close()
			})
			_ = program.Close()
			if text := <-seen; (text == "") != (test.want == "") || !strings.Contains(text, test.want) || text != "" && !strings.HasSuffix(text, "\x1b[J") {
				t.Errorf("seen %q", text)
			}
		})
	}
}

func TestNotesStayAboveTheBar(t *testing.T) {
	for name, takes := range map[string]time.Duration{"before it appears": time.Millisecond, "while it is there": 1100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			person, program := terminal(t)
			seen := make(chan string)
			go func() {
				text, _ := io.ReadAll(person) // ends with an error when the program's end is closed
				seen <- string(text)
			}()
			synctest.Test(t, func(*testing.T) {
				bar := display.NewProgress(program, "ended", 30)
				time.Sleep(takes)
				_, _ = io.WriteString(bar, "a note\n")
				time.Sleep(1100 * time.Millisecond)
				bar.Close()
			})
			_ = program.Close()
			if text := <-seen; !strings.Contains(text, "a note\r\nended") || strings.Count(text, "a note") != 1 {
				t.Errorf("seen %q", text)
			}
		})
	}
}
