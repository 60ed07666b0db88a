package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/stack"
)

const (
	// codeJobs is how many routines get code, and updates how often one gets the code that it has.
	codeJobs, updates = 50, 100
	// largeJobs is how many routines get code of 1 MiB, all of it different.
	largeJobs = 20
)

// benchSource is the code that routines get: a kilobyte.
var benchSource = "export default { fetch() { return new Response('" + strings.Repeat("routine ", 120) + "') } }"

// postCode asks for a routine with code.
func (d *deployment) postCode(w wish, code string) (string, error) {
	return d.ask(http.MethodPost, "", fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q,"code":%s}`, w.name, stack.SiteID, w.record, code))
}

// keep posts code and returns its hash.
func (d *deployment) keep(source string) (sum string, err error) {
	res, err := d.http.Post(d.HTTPURL()+"/v1/code", "application/javascript", strings.NewReader(source)) //nolint:noctx // the benchmark waits
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var kept struct{ SHA256 string }
	if err := json.NewDecoder(res.Body).Decode(&kept); err != nil || res.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("POST /v1/code: HTTP %d, %v", res.StatusCode, err)
	}
	return kept.SHA256, nil
}

// BenchmarkCode makes routines with code and a record each, through the whole local stack, against one bare caller of the official SDK that makes the very
// calls that ESA and the storage got. Each takes twelve: it looks at the routine, makes it and looks for it, lists its versions, asks where to upload,
// uploads, commits, reads the version back, deploys it to both environments, looks at what is live, and binds the host name. Then one of them is asked for
// again and again, with the code that it has.
func BenchmarkCode(b *testing.B) {
	code := fmt.Sprintf(`{"source":%q}`, benchSource)
	for b.Loop() {
		var ratios []float64
		var ours, again effort
		for range laneRuns {
			d := deploy(b, stack.Config{ESALatency: laneLatency, RoutineQuota: codeJobs + 1, NoSync: true}, codeJobs+updates+1)
			if _, err := d.postCode(warm(), code); err != nil {
				b.Fatal(err)
			}
			d.await(b, 1)
			wishes := wishes(codeJobs)
			ours = d.measure(b, codeJobs, func(i int) (string, error) { return d.postCode(wishes[i], code) })
			d.check(b, ours.ids, append(slices.Clone(wishes), warm()))
			ratios = append(ratios, over(ours.makespan, replay(b, laneLatency, nil, ours.calls)))
			again = d.measure(b, updates, func(int) (string, error) { return d.postCode(warm(), code) })
		}
		slices.Sort(ratios)
		report(b,
			atMost("makespan/bare", ratios[laneRuns/2], 1.10), number("seconds", ours.makespan.Seconds()),
			number("best", ratios[0]), number("worst", ratios[laneRuns-1]),
			number("calls/job", float64(len(ours.calls))/codeJobs),
			exactly("commits", float64(counted(ours.calls, "Commit")), codeJobs),
			exactly("deployments", float64(counted(ours.calls, "CreateRoutineCodeDeployment")), 2*codeJobs),
			exactly("versions-of-updates", float64(counted(again.calls, "Commit")), 0),
			atMost("reads/update", float64(counted(again.calls, "Get", "List"))/updates, 2),
			exactly("refusals", float64(ours.refusals+again.refusals), 0),
		)
	}
}

// counted is how many calls are of actions that begin in one of these ways.
func counted(calls []faults.Record, beginnings ...string) (n int) {
	for _, call := range calls {
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(call.Action, b) }) {
			n++
		}
	}
	return n
}

// BenchmarkCodeMemory reads the most memory that the worker's one process ever had while it deployed code of 1 MiB, the longest that there is.
func BenchmarkCodeMemory(b *testing.B) {
	for b.Loop() {
		d := deploy(b, stack.Config{NoSync: true, RoutineQuota: largeJobs}, largeJobs)
		const mebibyte = 1 << 20
		for i, w := range wishes(largeJobs) {
			source := fmt.Sprintf("%8d", i) + strings.Repeat("// code\n", mebibyte/8-1)
			sum, err := d.keep(source)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := d.postCode(w, fmt.Sprintf(`{"sha256":%q}`, sum)); err != nil {
				b.Fatal(err)
			}
		}
		d.await(b, largeJobs)
		pid, _ := d.worker(b)
		most, err := memory(pid, "VmHWM:")
		if err != nil {
			b.Fatal(err)
		}
		report(b, atMost("MB-at-most", most, 64))
	}
}

// replayCode is replay for the calls about code.
func (c *bareCaller) replayCode(call faults.Record) error {
	name := call.Params["Name"]
	number := tea.String(c.versions[name])
	switch call.Action {
	case "ListEdgeRoutinePlans":
		_, err := c.client.ListEdgeRoutinePlans()
		return err
	case "ListRoutineCodeVersions":
		_, err := c.client.ListRoutineCodeVersions(&esa.ListRoutineCodeVersionsRequest{Name: &name, PageNumber: tea.Int64(1), PageSize: tea.Int64(20)})
		return err
	case "GetRoutineStagingCodeUploadInfo":
		res, err := c.client.GetRoutineStagingCodeUploadInfo(&esa.GetRoutineStagingCodeUploadInfoRequest{Name: &name})
		if err == nil {
			c.form = res.Body.OssPostConfig
		}
		return err
	case "PostObject":
		return upload(c.form)
	case "CommitRoutineStagingCode":
		res, err := c.client.CommitRoutineStagingCode(&esa.CommitRoutineStagingCodeRequest{Name: &name, CodeDescription: tea.String(call.Params["CodeDescription"])})
		if err == nil {
			c.versions[name] = tea.StringValue(res.Body.CodeVersion)
		}
		return err
	case "GetRoutineCodeVersion":
		_, err := c.client.GetRoutineCodeVersion(&esa.GetRoutineCodeVersionRequest{Name: &name, CodeVersion: number})
		return err
	case "CreateRoutineCodeDeployment":
		_, err := c.client.CreateRoutineCodeDeployment(&esa.CreateRoutineCodeDeploymentRequest{
			Name: &name, Env: tea.String(call.Params["Env"]), Strategy: tea.String("percentage"),
			CodeVersions: []*esa.CreateRoutineCodeDeploymentRequestCodeVersions{{CodeVersion: number, Percentage: tea.Int64(100)}},
		})
		return err
	}
	return fmt.Errorf("the bare caller knows no %s", call.Action)
}

// upload posts the code as ESA says.
func upload(form map[string]any) error {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, field := range []string{"OSSAccessKeyId", "Signature", "callback", "x:codeDescription", "policy", "key"} {
		if err := w.WriteField(field, fmt.Sprint(form[field])); err != nil {
			return err
		}
	}
	file, err := w.CreateFormFile("file", "index.js")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(file, benchSource); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	res, err := http.Post(fmt.Sprint(form["Url"]), w.FormDataContentType(), &body) //nolint:noctx // a bare caller waits
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("upload: HTTP %d", res.StatusCode)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
