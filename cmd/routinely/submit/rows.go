package submit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/client"
	"routinely/cmd/routinely/requests"
	"routinely/cmd/routinely/verify"
	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Verdicts of this program's own beside accept's.
const (
	// statusValid is that of a request in a dry run.
	statusValid api.Status = "valid"
	// statusUnanswered is that of a request that was not sent, or whose answer did not come.
	statusUnanswered api.Status = "unanswered"
	// statusRedriven is that of a request whose job was dead and is queued again.
	statusRedriven api.Status = "redriven"
)

// submitted is what became of one request.
type submitted struct {
	// Index counts the requests from 0. Of a file, Line is where the request begins, or Item its number in a JSON array, both from 1.
	Index      int    `json:"index"`
	Line       int    `json:"line,omitempty"`
	Item       int    `json:"item,omitempty"`
	Name       string `json:"name,omitempty"`
	RecordName string `json:"recordName,omitempty"`
	// RecordNames are those of a request for several.
	RecordNames []string      `json:"recordNames,omitempty"`
	Key         string        `json:"idempotencyKey,omitempty"`
	Status      api.Status    `json:"status"`
	JobID       string        `json:"jobId,omitempty"`
	State       routine.State `json:"state,omitempty"`
	Problem     *api.Problem  `json:"problem,omitempty"`
	// SameAs is the line or item of an earlier request that is equal, of a request that was therefore not sent.
	SameAs int `json:"sameAs,omitempty"`
	// Job is the job as it was seen last, if it was waited for.
	Job *routine.Job `json:"job,omitempty"`
	// Verified is what was seen of each host name, if they were asked.
	Verified []verify.Seen `json:"verified,omitempty"`
	// Request is what a dry run would send, as it may be shown, and Note what it depends on whether it is accepted.
	Request *routine.Request `json:"request,omitempty"`
	Note    string           `json:"note,omitempty"`

	place   requests.Place
	request client.Keyed
	// ownKey is set if this run has made the key: then nobody else can have used it.
	ownKey bool
	// first is the earlier request that is equal, nil if there is none.
	first *submitted
}

// keyOf is the key of a request under the key of a whole file. It comes from what identifies the request, its routine and its host name, and
// not from its place: lines can be added, removed and put in another order, and corrected in all other fields.
func keyOf(fileKey string, req routine.Request) string {
	sum := sha256.Sum256([]byte(req.Name + "\x00" + strings.Join(req.RecordNames(), "\x00")))
	return fileKey + "/" + hex.EncodeToString(sum[:8])
}

// prepare gives every request a result, and a key if it is right.
func (s *submission) prepare(items []requests.Item) []submitted {
	results := make([]submitted, len(items))
	made := rand.Text()
	known := earlier{things: map[[2]string]*submitted{}, keys: map[string]*submitted{}}
	for i, item := range items {
		r := &results[i]
		*r = submitted{Index: i, Name: item.Request.Name, Key: item.Key, Status: statusUnanswered, place: item.Place}
		if names := item.Request.RecordNames(); len(names) == 1 {
			r.RecordName = names[0]
		} else {
			r.RecordNames = names
		}
		if s.fromFile {
			r.count()
		}
		if item.Invalid != nil {
			r.Status, r.Problem = api.Rejected, problemOf(item.Invalid)
			continue
		}
		s.giveKey(r, item.Request, fmt.Sprintf("%s/%d", made, i))
		r.request = client.Keyed{Request: item.Request, Key: r.Key}
		if s.dryRun {
			shown := item.Request.Shown()
			r.Status, r.Request = statusValid, &shown
			r.checkCallback()
		}
		known.compare(r)
	}
	return results
}

// count tells the request's place in its file.
func (r *submitted) count() {
	switch r.place.Unit {
	case requests.Line:
		r.Line = r.place.Number
	case requests.ListItem:
		r.Item = r.place.Number
	}
}

// checkCallback holds a callback URL to what every deployment asks of it, which accept does otherwise. What an operator can allow is noted.
func (r *submitted) checkCallback() {
	url := r.request.CallbackURL
	if url == "" {
		return
	}
	anywhere := callback.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	if err := callback.CheckURL(url, anywhere); err != nil {
		r.Status, r.Request, r.Problem = api.Rejected, nil, problemOf(&routine.Invalid{Problems: []routine.Problem{{
			Pointer: "/callbackUrl", Code: "value", Detail: fault.From(err).Message + ". " + fault.From(err).Hint,
		}}})
		return
	}
	if err := callback.CheckURL(url, callback.Policy{}); err != nil {
		r.Note = "only a deployment that allows it takes the callback URL: " + fault.From(err).Message
	}
}

// giveKey gives a request that has no key of its own one. A dry run shows only keys that a real one would have, too.
func (s *submission) giveKey(r *submitted, req routine.Request, made string) {
	switch {
	case r.Key != "":
	case s.key != "" && s.fromFile:
		r.Key = keyOf(s.key, req)
	case s.key != "":
		r.Key = s.key
	case !s.dryRun:
		r.Key, r.ownKey = made, true
	}
}

// earlier are the requests of a file that were read before, by the routine and host name that they ask for, and by the keys that the file gives.
type earlier struct {
	things map[[2]string]*submitted
	keys   map[string]*submitted
}

// compare judges a request by the earlier ones: of two for one thing, or under one key, the second is not sent.
func (e earlier) compare(r *submitted) {
	thing := [2]string{r.Name, r.hostNames()}
	first := e.things[thing]
	switch {
	case first != nil && reflect.DeepEqual(first.request.Request, r.request.Request):
		r.Status, r.SameAs, r.first, r.Request = api.Duplicate, first.place.Number, first, nil
	case first != nil:
		r.repeats(fmt.Sprintf("%s asks for the same name and host name, and differs in the rest: keep one of them", first.place))
	case r.Key != "" && e.keys[r.Key] != nil:
		r.repeats(fmt.Sprintf("%s has the same idempotency key and asks for something else: give each its own", e.keys[r.Key].place))
	default:
		e.things[thing], e.keys[r.Key] = r, r
	}
}

func (r *submitted) repeats(detail string) {
	r.Request = nil
	r.Status, r.Problem = api.Rejected, &api.Problem{Title: "The file has two requests for one thing", Code: "repeated-request", Detail: detail}
}

// problemOf words mistakes as accept does.
func problemOf(invalid *routine.Invalid) *api.Problem {
	return &api.Problem{
		Title: "The request breaks the rules for routines", Code: "invalid-request", Detail: invalid.Error(), Errors: invalid.Problems,
	}
}

func invalid(err *routine.Invalid) error {
	p := problemOf(err)
	return &fault.Error{Kind: fault.Invalid, Code: p.Code, Message: p.Title, Err: &client.Refusal{Problem: *p}}
}

// send sends one request.
func (r *submitted) send(ctx context.Context, c *client.Client) error {
	job, replayed, err := c.Submit(ctx, r.request)
	if err != nil {
		return err
	}
	r.Status, r.Problem = api.Accepted, nil
	if replayed && !r.ownKey {
		r.Status = api.Duplicate
	}
	r.saw(job)
	return nil
}

// saw takes over what is known of the job.
func (r *submitted) saw(job routine.Job) { r.JobID, r.State, r.Job = job.ID, job.State, &job }

// sendFile sends the requests of a file, and redrives those whose jobs are dead if that is wanted.
func (s *submission) sendFile(ctx context.Context, c *client.Client, results []submitted) error {
	err := s.sendAll(ctx, c, results)
	if err == nil && s.retryDead {
		err = s.retry(ctx, c, results)
	}
	for i := range results {
		results[i].follow()
	}
	if err != nil || !s.retryDead {
		return err
	}
	if s.wait {
		s.Note("%s", summary(len(results), "request", countWords(results, func(r *submitted) string { return string(r.Status) })))
	}
	return s.findForgotten(ctx, c, results)
}

// follow takes over what became of the earlier request that is equal.
func (r *submitted) follow() {
	if r.first == nil {
		return
	}
	r.JobID, r.State, r.Problem = r.first.JobID, r.first.State, r.first.Problem
	if status := r.first.Status; status != api.Accepted {
		r.Status = status
	}
}

// sendAll sends the requests of a file.
func (s *submission) sendAll(ctx context.Context, c *client.Client, results []submitted) error {
	var sent []*submitted
	var sending []client.Keyed
	for i := range results {
		if r := &results[i]; r.Status == statusUnanswered {
			sent, sending = append(sent, r), append(sending, r.request)
		}
	}
	bar := s.Progress("submitted", len(sending))
	verdicts, err := c.SubmitAll(ctx, sending, bar.Set)
	bar.Close()
	for i, r := range sent {
		r.judged(verdicts[i])
	}
	return err
}

// judged takes over accept's verdict. A key that this run has made can only be a duplicate of what it sent before.
func (r *submitted) judged(v api.Verdict) {
	if v.Status == "" {
		return
	}
	r.Status, r.JobID, r.State, r.Problem = v.Status, v.JobID, v.State, v.Problem
	if r.Status == api.Duplicate && r.ownKey {
		r.Status = api.Accepted
	}
}

// hostNames are those of the request, in one line.
func (r *submitted) hostNames() string { return cli.HostNames(r.request.Request) }

// hasJob reports whether the request's job is known and is its own: a rejected one may name the job that its key stands for.
func (r *submitted) hasJob() bool {
	return r.JobID != "" && (r.Status == api.Accepted || r.Status == api.Duplicate || r.Status == statusRedriven)
}

// detail is what there is to say of a request beside its state.
func (r *submitted) detail() string {
	switch {
	case r.Problem != nil:
		return cli.Told(r.Problem)
	case r.SameAs > 0:
		return "the same as " + r.first.place.String()
	case r.Note != "":
		return r.Note
	case r.Job != nil:
		return cli.Outcome(*r.Job)
	case r.Status == api.Duplicate && r.State != "":
		return "the job is " + string(r.State)
	}
	return ""
}

// word is what became of a request, in a word.
func (r *submitted) word() string {
	if r.Job != nil {
		return string(r.State)
	}
	return string(r.Status)
}
