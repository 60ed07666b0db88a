package queue_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

const jobData = `{"jobId":"job-1","caller":"ci","acceptedAt":"2026-01-15T06:28:17Z","round":0,"number":1,"request":` + bare + `}`

func TestSeal(t *testing.T) {
	t.Run("is an HMAC-SHA256 over the type, the key's id and every byte of data", func(t *testing.T) {
		if d := one(t, sim.Sealed(queue.TypeJob, "k1", jobData)); d.Envelope.JobID != "job-1" || d.Bare {
			t.Errorf("%+v", d)
		}
	})
	t.Run("is made with the first key and read with any", func(t *testing.T) {
		body := bodyOf(t, envelope())
		for _, ids := range [][]string{{"k1"}, {"k2", "k1"}} {
			if d := first(t, body, ids...); d.Err != nil {
				t.Errorf("%v: %v", ids, d.Err)
			}
		}
		if d := first(t, body, "k2"); !fault.HasCode(d.Err, queue.CodeUnknownKey) {
			t.Errorf("got %v", d.Err)
		}
	})
	good := sim.Sealed(queue.TypeJob, "k1", jobData)
	for name, body := range map[string]string{
		"no seal":                     strings.Replace(good, `"mac"`, `"max"`, 1),
		"an empty seal":               sim.Sealed(queue.TypeJob, "k1", jobData)[:strings.Index(good, `"mac":"`)] + `"mac":"","data":` + jobData + `}`,
		"the seal of other data":      strings.Replace(good, `"ci"`, `"root"`, 1),
		"one space more in its data":  strings.Replace(good, `"caller":`, `"caller": `, 1),
		"the seal of another type":    strings.Replace(sim.Sealed(queue.TypeCallback, "k1", jobData), queue.TypeCallback, queue.TypeJob, 1),
		"the seal of an unknown key":  sim.Sealed(queue.TypeJob, "k9", jobData),
		"another key's id":            strings.Replace(good, `"keyid":"k1"`, `"keyid":"k2"`, 1),
		"a seal that is no Base64":    strings.Replace(good, `"mac":"`, `"mac":"!`, 1),
		"a type that is none of ours": strings.Replace(good, queue.TypeJob, "routinely.job.v9", 1),
		"a callback's type":           `{"specversion":"1.0","id":"1","source":"/x","type":"routinely.callback.v2","data":` + jobData + `}`,
		"a type without a version":    `{"type":"routinely.job.v2","data":` + jobData + `}`,
	} {
		t.Run("does not hold for a message with "+name+", which says what it is about and is nothing else", func(t *testing.T) {
			d := first(t, body, "k1", "k2")
			want := queue.Delivery{Body: []byte(body), ClaimsJob: "job-1", Err: d.Err}
			if diff := cmp.Diff(want, d, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			if failure := fault.From(d.Err); failure.Code != queue.CodeUnknownKey || failure.Hint == "" {
				t.Errorf("%+v", failure)
			}
		})
	}
	t.Run("of an unknown key claims no job but in a text that can be shown", func(t *testing.T) {
		for data, want := range map[string]string{
			`{"jobId":"a\u001bb"}`:                         "",
			`{"jobId":"` + strings.Repeat("j", 129) + `"}`: "",
			`{"jobId":"` + strings.Repeat("j", 128) + `"}`: strings.Repeat("j", 128),
			`{"jobId":7}`: "", `[]`: "", `null`: "", `{"jobId":"job 1"}`: "",
		} {
			same(t, data+" claims", first(t, sim.Sealed(queue.TypeJob, "k9", data)).ClaimsJob, want)
		}
	})
	t.Run("that nobody can make fails the send", func(t *testing.T) {
		if _, err := (queue.Keys{}).Seal(envelope()); !fault.HasCode(err, "NoMessageKey") {
			t.Errorf("got %v", err)
		}
	})
}

func TestReread(t *testing.T) {
	body := sim.Sealed(queue.TypeJob, "k2", jobData)
	for name, text := range map[string]string{"plain": body, "in Base64": base64.StdEncoding.EncodeToString([]byte(body))} {
		t.Run("reads a message "+name+" by the keys of today", func(t *testing.T) {
			then := sim.Keys(t, sim.Key).Decode([]byte(`{"messageId":"M1","messageBody":`+sim.Quote(text)+`}`), now)[0]
			kept := then.Received()
			if d := sim.Keys(t, sim.Key).Reread(*kept, now); !fault.HasCode(d.Err, queue.CodeUnknownKey) {
				t.Errorf("got %v", d.Err)
			}
			d := sim.Keys(t, "k1", "k2").Reread(*kept, now)
			if d.Err != nil || d.Envelope.JobID != "job-1" || d.MessageID != "M1" {
				t.Errorf("%+v", d)
			}
		})
	}
	t.Run("reads bytes that are no text", func(t *testing.T) {
		d := sim.Keys(t, sim.Key).Reread(routine.Received{Encoding: routine.Base64Encoding, Body: "//4="}, now)
		if string(d.Body) != "\xff\xfe" || d.Err == nil {
			t.Errorf("%+v", d)
		}
	})
}

func TestParseKeys(t *testing.T) {
	good := sim.KeysText("k1")
	_, text, _ := strings.Cut(good, ":")
	secret, err := base64.RawURLEncoding.DecodeString(text)
	must(t, err)
	t.Run("takes several, with spaces around them, and knows a key by its id and its secret", func(t *testing.T) {
		made, err := queue.ParseKeys(" " + sim.KeysText("k2") + " , " + good + " ")
		if err != nil || made.Sealing() != sim.Keys(t, "k2").Sealing() || !made.Know(sim.Keys(t, sim.Key).Sealing()) {
			t.Errorf("%v, %v", made.Sealing(), err)
		}
		other, err := queue.ParseKeys(strings.Replace(sim.KeysText("k2"), "k2", "k1", 1))
		if err != nil || other.Know(sim.Keys(t, sim.Key).Sealing()) {
			t.Errorf("another key with the same id is known; %v", err)
		}
	})
	key := func(content []byte) string { return "k2:" + base64.RawURLEncoding.EncodeToString(content) }
	for name, test := range map[string]struct{ text, want string }{
		"nothing":          {"", ""},
		"no id":            {":" + text, ""},
		"no secret":        {"k1:", ""},
		"no colon":         {"k1", ""},
		"a bad id":         {"k.1:" + text, ""},
		"a long id":        {strings.Repeat("k", 33) + ":" + text, ""},
		"a short secret":   {key(secret[:31]), ""},
		"padding":          {"k1:" + base64.URLEncoding.EncodeToString(secret), ""},
		"an id twice":      {good + "," + good, ""},
		"a comma too many": {good + ",", ""},
		"a published key":  {good + "," + key([]byte("routinely-local-callback-secret!")), `key 2, "k2": is an example of the documentation`},
		"a weak key":       {good + "," + key([]byte("0123456789:;<=>?@ABCDEFGHIJKLMNO")), `key 2, "k2": is too weak, it counts on`},
		"a key of zeros":   {key(make([]byte, 32)), ""},
	} {
		t.Run("refuses "+name+" and quotes no secret", func(t *testing.T) {
			_, err := queue.ParseKeys(test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v", err)
			}
			if _, secret, _ := strings.Cut(test.text, ":"); len(secret) > 8 && strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("does not print them", func(t *testing.T) {
		made := sim.Keys(t, sim.Key)
		if text := fmt.Sprintf("%v %+v %#v %s", made, made, made, made); text != "*** *** *** ***" {
			t.Error(text)
		}
	})
	t.Run("takes what NewKey makes, a new one each time", func(t *testing.T) {
		first, err := queue.NewKey("")
		must(t, err)
		second, err := queue.NewKey("blue")
		if err != nil || !strings.HasPrefix(second, "blue:") {
			t.Fatalf("%q, %v", second, err)
		}
		if _, err := queue.ParseKeys(first + "," + second); err != nil {
			t.Error(err)
		}
		if _, err := queue.NewKey("no id"); err == nil {
			t.Error("an id with a space is taken")
		}
	})
}
