package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/logging"
)

func TestLogger(t *testing.T) {
	t.Run("writes one JSON line with the fields of the call", func(t *testing.T) {
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "accept")
		if err != nil {
			t.Fatal(err)
		}
		ctx := logging.Into(t.Context(), log.WithField(logging.RequestID, "R1"))
		logging.From(ctx).WithField(logging.Job, "j\n{\"forged\":1}").Warn("two\nlines")
		logging.From(ctx).Debug("below the level")
		if strings.Count(out.String(), "\n") != 1 {
			t.Fatalf("not one line: %q", out.String())
		}
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339Nano, got["time"]); err != nil {
			t.Error(err)
		}
		delete(got, "time")
		want := map[string]string{"level": "warning", "msg": "two\nlines", "function": "accept", "requestId": "R1", "jobId": "j\n{\"forged\":1}"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("writes characters that a terminal obeys as it writes other controls", func(t *testing.T) {
		const given = "\x7f\u0085\u009b2K\u202e\ufeff\U000e0001 é 中"
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "accept")
		if err != nil {
			t.Fatal(err)
		}
		log.Warn(given)
		if want := `"msg":"\u007f\u0085\u009b2K\u202e\ufeff\udb40\udc01 é 中"`; !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %s", &out, want)
		}
		var got struct{ Msg string }
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Msg != given {
			t.Errorf("read as %q, %v", got.Msg, err)
		}
	})
	t.Run("cuts what is too long, in whole characters, and leaves the entry as it is", func(t *testing.T) {
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "accept")
		if err != nil {
			t.Fatal(err)
		}
		const most = 4096
		fits, long := strings.Repeat("x", most), "x"+strings.Repeat("é", most/2)
		entry := log.WithFields(logging.Fields{"fits": fits, "text": long, "failure": errors.New(long), "word": json.Number(long)})
		for range 2 {
			out.Reset()
			entry.Info(long)
			want := map[string]string{"fits": fits}
			for _, name := range []string{"text", "failure", "word", "msg"} {
				want[name] = "x" + strings.Repeat("é", most/2-2) + "…"
			}
			got := map[string]string{}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"time", "level", "function"} {
				delete(got, name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%.2000s", diff)
			}
		}
		if entry.Data["text"] != long {
			t.Error("the entry was changed")
		}
	})
	t.Run("writes nowhere without a logger in the context", func(t *testing.T) {
		logging.From(t.Context()).Error("unheard")
	})
	t.Run("refuses an unknown level", func(t *testing.T) {
		if _, err := logging.New(&bytes.Buffer{}, "loud", "accept"); err == nil {
			t.Error("accepted")
		}
	})
}
