package accept

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

const source = "export default { fetch() { return new Response('ünï') } }\r\n"

// shop is a request for a routine with something about code.
func shop(about string) string {
	return `{"name":"shop","recordName":"shop.example.com",` + about + `}`
}

func bySource(t *testing.T, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return shop(`"code":{"source":` + string(quoted) + `}`)
}

func bySum(sum string) string { return shop(`"code":{"sha256":"` + sum + `"}`) }

// posted is the event of code that is posted as it is.
func posted(text string) map[string]any {
	return encoded(event("POST", "/v1/code", text, "Content-Type", "application/javascript"))
}

func TestCode(t *testing.T) {
	sum := routine.NewCode([]byte(source)).SHA256
	t.Run("is posted byte for byte, and named by its hash", func(t *testing.T) {
		f := start(t)
		kept := read[api.KeptCode](t, f.call(t, posted(source)), http.StatusCreated)
		if kept.SHA256 != sum || kept.Bytes != len(source) || !kept.ExpiresAt.Equal(f.clock.Now().Add(f.Retention)) {
			t.Errorf("got %+v", kept)
		}
		job := f.post(t, bySum(kept.SHA256))
		if row := f.row(t, job.ID); row.Request.Code.SHA256 != sum {
			t.Errorf("got %+v", row.Request.Code)
		}
	})
	t.Run("comes with a request, and is in no row, message or answer", func(t *testing.T) {
		f := start(t)
		res := f.call(t, event("POST", "/v1/routines", bySource(t, source)))
		job := read[routine.Job](t, res, http.StatusAccepted)
		back, err := f.Ledger.Code(t.Context(), f.row(t, job.ID).Caller, sum)
		if err != nil || string(back) != source {
			t.Errorf("%q, %v", back, err)
		}
		if !strings.Contains(res.Body, sum) || strings.Contains(res.Body, "Response") {
			t.Errorf("the answer is %s", res.Body)
		}
	})
	t.Run("is good for its caller alone, and not to be guessed", func(t *testing.T) {
		f := start(t)
		tokens := f.knows(t, map[string]string{"ci": `"scopes":["submit"]`, "saas": `"scopes":["submit"]`})
		f.call(t, as(posted(source), tokens["ci"]))
		p := read[api.Problem](t, f.call(t, as(event("POST", "/v1/routines", bySum(sum)), tokens["saas"])), http.StatusUnprocessableEntity)
		if p.Code != "invalid-request" || p.Errors[0].Pointer != "/code/sha256" {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("of a batch is named by its hash, and kept once", func(t *testing.T) {
		f := start(t)
		f.call(t, posted(source))
		f.ots.Faults().Reset()
		items := []string{bySum(sum), strings.ReplaceAll(bySum(sum), "shop", "shop-2"), strings.Replace(bySource(t, source), "shop", "shop-3", 1), strings.ReplaceAll(bySum(strings.Repeat("0", 64)), "shop", "shop-4")}
		got := read[api.BatchResult](t, f.call(t, event("POST", "/v1/routines:batch", "["+strings.Join(items, ",")+"]")), http.StatusAccepted)
		var verdicts []string
		for _, v := range got.Items {
			verdicts = append(verdicts, string(v.Status))
		}
		if strings.Join(verdicts, " ") != "accepted accepted rejected rejected" {
			t.Errorf("got %v", verdicts)
		}
	})
	t.Run("begins its time again with each request and redrive", func(t *testing.T) {
		f := start(t)
		var writes []int
		for _, request := range []string{shop(`"labels":{"a":"b"}`), bySource(t, source)} {
			job := f.post(t, request)
			f.dies(t, job.ID)
			f.ots.Faults().Reset()
			f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", ""))
			writes = append(writes, f.ots.Faults().Count("BatchWriteRow"))
		}
		if writes[1] != writes[0]+1 {
			t.Errorf("a redrive writes %d times, one with code %d times", writes[0], writes[1])
		}
	})
	t.Run("of a redriven job that is forgotten does not keep it from being redriven: the worker tells", func(t *testing.T) {
		f := start(t)
		job := f.post(t, bySource(t, source))
		f.dies(t, job.ID)
		f.changes(t, job.ID, func(r *ledger.Row) { r.Request.Code = &routine.Code{SHA256: strings.Repeat("0", 64)} })
		if res := f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", "")); res.StatusCode != http.StatusOK {
			t.Errorf("got %+v", res)
		}
		if _, err := f.Ledger.Code(t.Context(), job.Caller, strings.Repeat("0", 64)); !fault.HasCode(err, ledger.CodeUnknownCode) {
			t.Error(err)
		}
	})
	t.Run("is told what is wrong with it", func(t *testing.T) {
		f := start(t)
		for about, pointer := range map[string]string{
			`"code":{}`: "/code", `"code":{"source":""}`: "/code/source", `"code":{"source":" "}`: "/code/source", `"code":"x"`: "/code", `"code":{"source":1}`: "/code/source",
			`"code":{"sha256":"0"}`: "/code/sha256", `"code":{"source":"x","sha256":"0"}`: "/code/sha256", `"code":{"source":"x","url":"x"}`: "/code/url",
			`"environments":["staging"]`: "/environments", `"codeDescription":"x"`: "/codeDescription", `"version":"previous"`: "/version",
			`"code":{"source":"x"},"environments":[]`: "/environments", `"code":{"source":"x"},"environments":["test"]`: "/environments/0",
			`"code":{"source":"x"},"environments":["staging","staging"]`: "/environments/1", `"code":{"source":"x"},"environments":"staging"`: "/environments",
			`"code":{"source":"x"},"codeDescription":"a\nb"`: "/codeDescription", `"codeFile":"x"`: "/codeFile",
		} {
			p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", shop(about))), http.StatusUnprocessableEntity)
			if p.Errors[0].Pointer != pointer {
				t.Errorf("%s: %+v", about, p.Errors)
			}
		}
		refused(t, f.call(t, encoded(event("POST", "/v1/code", "\xff\xfe", "Content-Type", "text/javascript"))), 422, "invalid-request")
		refused(t, f.call(t, event("POST", "/v1/code", source)), 415, "unsupported-media-type")
		refused(t, f.call(t, event("POST", "/v1/code", source, "Content-Type", "text/javascript", "Content-Encoding", "gzip")), 415, "unsupported-media-type")
	})
	t.Run("for a routine that another owns, or nobody is proven to have made, is refused", func(t *testing.T) {
		f := start(t)
		token := f.knows(t, map[string]string{"ci": `"scopes":["submit"]`})["ci"]
		f.owns(t, "somebody", "shop")
		refused(t, f.call(t, as(event("POST", "/v1/routines", bySource(t, source)), token)), 409, "owned-by-another")
		f.claims(t, "shop", func(c *routine.Claim) { c.Caller, c.Ownership = "ci", routine.AdoptedThing })
		refused(t, f.call(t, as(event("POST", "/v1/routines", bySource(t, source)), token)), 409, "not-owned")
	})
}

func TestRollback(t *testing.T) {
	t.Run("is a job with the version that is wanted", func(t *testing.T) {
		f := start(t)
		f.owns(t, "anonymous", "shop")
		job := read[routine.Job](t, f.call(t, event("POST", "/v1/routines/shop:rollback", `{"to":"previous","environments":["production"]}`)), http.StatusAccepted)
		if got := f.row(t, job.ID).Request; got.Action != routine.Rollback || got.Version != routine.Previous || len(got.Environments) != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("is told what is wrong with it", func(t *testing.T) {
		f := start(t)
		for body, want := range map[string]int{`{}`: 422, `{"to":"7"}`: 422, `{"to":"previous","environments":["test"]}`: 422, `{"to":7}`: 400, `{"version":"previous"}`: 400} {
			if got := f.call(t, event("POST", "/v1/routines/shop:rollback", body)).StatusCode; got != want {
				t.Errorf("%s: %d, want %d", body, got, want)
			}
		}
	})
	t.Run("tells with the routine what is live, since when, by which job, and what was before", func(t *testing.T) {
		f := start(t)
		f.owns(t, "anonymous", "shop")
		f.claims(t, "shop", func(c *routine.Claim) {
			c.Deploy(routine.Production, func(d *routine.Deployed) {
				d.CodeVersion, d.Previous, d.By, d.Since = "1766591259026072336", "1766591259026072335", "j", f.clock.Now()
			})
			c.AddVersion(routine.OwnVersion{CodeVersion: "1766591259026072336", JobID: "j", SHA256: routine.NewCode([]byte(source)).SHA256})
		})
		got := read[api.Routine](t, f.call(t, event("GET", "/v1/routines/shop", "")), http.StatusOK)
		if len(got.Code) != 1 || got.Code[0].Previous != "1766591259026072335" || got.Code[0].JobID != "j" || len(got.Versions) != 1 {
			t.Errorf("got %+v", got)
		}
	})
}
