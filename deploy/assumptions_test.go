package deploy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unfinished returns the rows of the page's tables that lack a cell: what is assumed, what breaks, how to settle it.
func unfinished(document string) (bad []string, good int) {
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what is assumed") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		whole := len(cells) == 3
		for _, cell := range cells {
			whole = whole && strings.ContainsAny(cell[max(len(cell)-2, 0):], ".?")
		}
		if whole {
			good++
		} else {
			bad = append(bad, line)
		}
	}
	return bad, good
}

// unknownFindings returns the findings that a document names and the doctor does not have, and how many it has.
func unknownFindings(t *testing.T, document string) (unknown []string, known int) {
	t.Helper()
	ids := findings(t)
	for _, named := range regexp.MustCompile("finding `([^`]+)`(?: or `([^`]+)`)?").FindAllStringSubmatch(document, -1) {
		for _, id := range named[1:] {
			switch {
			case id == "":
			case slices.Contains(ids, id):
				known++
			default:
				unknown = append(unknown, id)
			}
		}
	}
	return unknown, known
}

func TestAssumptions(t *testing.T) {
	document := string(read(t, "docs", "assumptions.md"))
	t.Run("say what is assumed, what breaks and how to settle it", func(t *testing.T) {
		bad, good := unfinished(document)
		for _, line := range bad {
			t.Errorf("not whole: %s", line)
		}
		if good < 20 {
			t.Errorf("%d were found", good)
		}
	})
	t.Run("name what the design rests on", func(t *testing.T) {
		for _, subject := range []string{"ots-internal", "MessageBodyMD5", "preStop", "CountBasedWindow", "mns:BatchSendMessage", "CreateTime"} {
			if !strings.Contains(document, subject) {
				t.Errorf("nothing is said of %s", subject)
			}
		}
	})
	t.Run("name findings that the doctor has", func(t *testing.T) {
		unknown, known := unknownFindings(t, document)
		if unknown != nil || known < 10 {
			t.Errorf("unknown: %q; %d are known", unknown, known)
		}
	})
	t.Run("are noticed when they name another finding", func(t *testing.T) {
		if unknown, known := unknownFindings(t, "no finding `policy` or `no-such`, no finding `none-such`"); len(unknown) != 2 || known != 1 {
			t.Errorf("unknown: %q; %d are known", unknown, known)
		}
	})
	t.Run("are noticed when they lack a cell", func(t *testing.T) {
		if bad, _ := unfinished("| a. | b. |\n| a. | b. | |\n"); len(bad) != 2 {
			t.Errorf("found %q", bad)
		}
	})
}
