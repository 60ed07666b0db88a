package routine_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/shared/routine"
)

// several is a request for two host names.
func several() routine.Request {
	return routine.Request{Name: "ab", Records: []routine.Record{{SiteID: 7, RecordName: "a.example.com"}, {RecordName: "b.example.com"}}}
}

func TestDecodeRecords(t *testing.T) {
	alone := routine.Request{Name: "ab", Records: []routine.Record{{RecordName: "a.example.com"}}}
	many := routine.Request{Name: "ab"}
	var texts []string
	for i := range routine.MaxRecords {
		name := "h" + strconv.Itoa(i) + ".example.com"
		many.Records, texts = append(many.Records, routine.Record{RecordName: name}), append(texts, `{"recordName":"`+name+`"}`)
	}
	for name, test := range map[string]struct {
		text string
		want routine.Request
	}{
		"takes a host name without its site":        {`{"name":"ab","recordName":"a.example.com"}`, alone},
		"takes null for a site that is not given":   {`{"name":"ab","siteId":null,"recordName":"a.example.com"}`, alone},
		"takes a list of one for the one":           {`{"name":"ab","records":[{"recordName":"A.example.com."}]}`, alone},
		"reads a list, in either spelling":          {`{"Name":"ab","Records":[{"SiteId":"7","RecordName":"a.example.com"},{"recordName":"b.example.com","siteId":null}]}`, several()},
		"takes white space in a list":               {"{\"name\":\"ab\",\"records\":\t[ \n{\"recordName\":\"a.example.com\"} ]}", alone},
		"takes null for a list that is not given":   {`{"name":"ab","recordName":"a.example.com","records":null}`, alone},
		"takes as many host names as can be asked":  {`{"name":"ab","records":[` + strings.Join(texts, ",") + `]}`, many},
		"takes nulls for the one beside a list":     {`{"name":"ab","siteId":null,"recordName":null,"records":[{"recordName":"a.example.com"}]}`, alone},
		"takes an empty object of labels for none":  {`{"name":"ab","recordName":"a.example.com","labels":{}}`, alone},
		"takes null for each of the other members":  {`{"name":"ab","recordName":"a.example.com","labels":null,"protected":null,"expiresIn":null}`, alone},
		"takes what it writes itself, one alone":    {string(marshal(t, alone)), alone},
		"takes what it writes itself, a list":       {string(marshal(t, several())), several()},
		"reads the time, the protection and labels": {`{"Name":"ab","RecordName":"a.example.com","ExpiresIn":"3d","Protected":true,"Labels":{"team":"web"},"IfExists":"update"}`, kept(alone)},
	} {
		t.Run(name, func(t *testing.T) { wantRequest(t, []byte(test.text), test.want) })
	}
}

// kept is the request with all that it can say beside its things.
func kept(r routine.Request) routine.Request {
	r.ExpiresIn, r.Protected, r.Labels, r.IfExists = routine.Span(72*time.Hour), ptr(true), map[string]string{"team": "web"}, routine.Update
	return r
}

func TestDecodeRefusesRecords(t *testing.T) {
	for name, test := range map[string]struct {
		members string
		want    []string
	}{
		"both ways at once":             {`"siteId":1,"recordName":"a.example.com","records":[{"recordName":"b.example.com"}]`, []string{"/recordName value", "/siteId value"}},
		"no list":                       {`"records":{"recordName":"a.example.com"}`, []string{"/records type"}},
		"an empty list":                 {`"records":[]`, []string{"/records value"}},
		"a list that is too long":       {`"records":[` + strings.Repeat(`{},`, routine.MaxRecords) + `{}]`, []string{"/records value"}},
		"what is no record":             {`"records":["a.example.com",null]`, []string{"/records/0 type", "/records/1 type"}},
		"a member that there is not":    {`"records":[{"recordName":"a.example.com","site":1}]`, []string{"/records/0/site unknown-field"}},
		"a member that is given twice":  {`"records":[{"recordName":"a.example.com","RecordName":"b.example.com"}]`, []string{"/records/0/RecordName duplicate"}},
		"a bad value, in the spelling":  {`"Records":[{"recordName":"a.example.com"},{"SiteId":0,"RecordName":"b"}]`, []string{"/Records/1/RecordName value", "/Records/1/SiteId value"}},
		"a host name that is missing":   {`"records":[{"siteId":1}]`, []string{"/records/0/recordName missing"}},
		"a host name twice":             {`"records":[{"recordName":"a.example.com"},{"siteId":3,"recordName":"A.EXAMPLE.com"}]`, []string{"/records/1/recordName duplicate"}},
		"a time that is none":           {`"recordName":"a.example.com","expiresIn":"soon"`, []string{"/expiresIn value"}},
		"a time that is a number":       {`"recordName":"a.example.com","expiresIn":72`, []string{"/expiresIn type"}},
		"a protection that is no flag":  {`"recordName":"a.example.com","Protected":"yes"`, []string{"/Protected type"}},
		"labels that are no object":     {`"recordName":"a.example.com","labels":["a"]`, []string{"/labels type"}},
		"a label that is no text":       {`"recordName":"a.example.com","labels":{"a":1}`, []string{"/labels type"}},
		"a label that is given twice":   {`"recordName":"a.example.com","labels":{"a":"1","a":"2"}`, []string{"/labels/a duplicate"}},
		"too many labels":               {`"recordName":"a.example.com","labels":{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1"}`, []string{"/labels value"}},
		"a label with a bad key":        {`"recordName":"a.example.com","labels":{"a b":"1","c/d":"1"}`, []string{"/labels/a b value"}},
		"a label with an empty value":   {`"recordName":"a.example.com","labels":{"c/d":""}`, []string{"/labels/c~1d value"}},
		"an action: HTTP has paths":     {`"recordName":"a.example.com","action":"delete"`, []string{"/action unknown-field"}},
		"a choice of what exists, none": {`"recordName":"a.example.com","ifExists":"replace"`, []string{"/ifExists value"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, `{"name":"ab",`+test.members+`}`, false, test.want...) })
	}
}

func TestCheckLabel(t *testing.T) {
	for name, test := range map[string]struct {
		key, value string
		right      bool
	}{
		"the longest that can be":       {strings.Repeat("k", routine.MaxLabelKey), strings.Repeat("v", routine.MaxLabelValue), true},
		"each kind of character":        {"aZ09._/-", "anything: 漢 & <b>", true},
		"a key that is too long":        {strings.Repeat("k", routine.MaxLabelKey+1), "v", false},
		"a value that is too long":      {"k", strings.Repeat("v", routine.MaxLabelValue+1), false},
		"an empty key":                  {"", "v", false},
		"a control character":           {"k", "a\nb", false},
		"a key with another character":  {"k=", "v", false},
		"a key with a letter of no key": {"kü", "v", false},
	} {
		t.Run(name, func(t *testing.T) {
			if detail := routine.CheckLabel(test.key, test.value); (detail == "") != test.right {
				t.Errorf("got %q", detail)
			}
		})
	}
}

// TestRequestJSON: what was written before there were lists is read, and its hash stays.
func TestRequestJSON(t *testing.T) {
	const old = `{"name":"pr-1","description":"a < b","hasAssets":true,"siteId":7,"recordName":"a.example.com","ifExists":"fail","callbackUrl":"https://h.example.com/?a=1&b=2"}`
	full := routine.Request{
		Name: "pr-1", Description: ptr("a < b"), HasAssets: ptr(true), Records: []routine.Record{{SiteID: 7, RecordName: "a.example.com"}},
		IfExists: routine.Fail, CallbackURL: "https://h.example.com/?a=1&b=2",
	}
	for name, test := range map[string]struct {
		text string
		req  routine.Request
	}{
		"with one host name is as it was before there were lists": {old, full},
		"with one host name and no site has no member for it":     {`{"name":"ab","recordName":"a.example.com"}`, routine.Request{Name: "ab", Records: []routine.Record{{RecordName: "a.example.com"}}}},
		"with several has a list":                                 {`{"name":"ab","records":[{"siteId":7,"recordName":"a.example.com"},{"recordName":"b.example.com"}]}`, several()},
		"of another action has what that needs":                   {`{"action":"renew","name":"ab","expiresIn":"72h"}`, routine.Request{Action: routine.Renew, Name: "ab", ExpiresIn: routine.Span(72 * time.Hour)}},
		"has the newer members behind the others": {
			`{"name":"ab","ifExists":"update","records":[{"siteId":7,"recordName":"a.example.com"},{"recordName":"b.example.com"}],"expiresIn":"72h","protected":true,"labels":{"team":"web"}}`,
			kept(several()),
		},
		"of nothing is nothing": {`{"name":""}`, routine.Request{}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := test.req.MarshalJSON() // json.Marshal would escape < and & in it
			if err != nil {
				t.Fatal(err)
			}
			same(t, "JSON", string(text), test.text)
			var again routine.Request
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			same(t, "read again", again, test.req)
		})
	}
}

func TestDecodeJob(t *testing.T) {
	record := []routine.Record{{RecordName: "a.example.com"}}
	for text, want := range map[string]routine.Request{
		`{"name":"ab","recordName":"a.example.com"}`:                                         {Name: "ab", Records: record},
		`{"action":"","name":"ab","recordName":"a.example.com"}`:                             {Name: "ab", Records: record},
		`{"action":"unbind","name":"ab","recordName":"a.example.com"}`:                       {Action: routine.Unbind, Name: "ab", Records: record},
		`{"action":"renew","name":"ab","expiresIn":"1h"}`:                                    {Action: routine.Renew, Name: "ab", ExpiresIn: routine.Span(time.Hour)},
		`{"action":"delete","name":"ab","callbackUrl":"https://h.example.com/"}`:             {Action: routine.Delete, Name: "ab", CallbackURL: "https://h.example.com/"},
		`{"action":"claim","name":"ab"}`:                                                     {Action: routine.TakeOwnership, Name: "ab"},
		`{"action":"expire","name":"ab"}`:                                                    {Action: routine.Expire, Name: "ab"},
		`{"action":"remove","name":"ab"}`:                                                    {Action: routine.Remove, Name: "ab"},
		`{"action":"delete","name":"ab","recordName":null,"siteId":null,"description":null}`: {},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := routine.DecodeJob([]byte(text))
			if want.Name == "" {
				wantProblems(t, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, "request", got, want)
		})
	}
	for text, want := range map[string]string{
		`{"action":"rename","name":"ab"}`:                                                                        "/action value",
		`{"action":1,"name":"ab","recordName":"a.example.com"}`:                                                  "/action type",
		`{"action":"delete","name":"ab","recordName":"a.example.com"}`:                                           "/recordName unknown-field",
		`{"action":"delete","name":"ab","expiresIn":"1h"}`:                                                       "/expiresIn unknown-field",
		`{"action":"renew","name":"ab"}`:                                                                         "/expiresIn missing",
		`{"action":"renew","name":"ab","expiresIn":null}`:                                                        "/expiresIn missing",
		`{"action":"renew","name":"ab","expiresIn":"0h"}`:                                                        "/expiresIn value",
		`{"action":"unbind","name":"ab"}`:                                                                        "/recordName missing",
		`{"action":"unbind","name":"ab","records":[{"recordName":"a.example.com"},{"recordName":"b.test.com"}]}`: "/records value",
		`{"action":"expire"}`:                                                                                    "/name missing",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			_, err := routine.DecodeJob([]byte(text))
			wantProblem(t, err, want)
		})
	}
}

// wantProblem checks the pointer and the code of the one problem.
func wantProblem(t *testing.T, err error, want string) {
	t.Helper()
	var invalid *routine.Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer+" "+invalid.Problems[0].Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestDecodeBare is about requests of other programs: nobody knows whose they are.
func TestDecodeBare(t *testing.T) {
	const least = `{"name":"ab","recordName":"a.example.com"`
	t.Run("takes a time to live, labels and a choice", func(t *testing.T) {
		for _, more := range []string{``, `,"expiresIn":"1h"`, `,"labels":{"a":"b"}`, `,"ifExists":"fail"`} {
			if _, err := routine.DecodeBare([]byte(least + more + `}`)); err != nil {
				t.Error(err)
			}
		}
	})
	for more, want := range map[string]string{
		`,"ifExists":"update"`: "/ifExists value", `,"protected":true`: "/protected unknown-field", `,"protected":false`: "/protected unknown-field",
		`,"action":"delete"`: "/action unknown-field",
	} {
		t.Run("refuses "+more, func(t *testing.T) {
			_, err := routine.DecodeBare([]byte(least + more + `}`))
			wantProblem(t, err, want)
		})
	}
}

func TestCorrectRecords(t *testing.T) {
	one := routine.Request{Name: "ab", Records: []routine.Record{{SiteID: 7, RecordName: "a.example.com"}}}
	correct := func(t *testing.T, was routine.Request, changes string, want []routine.Record) {
		t.Helper()
		got, err := routine.Correct(was, []byte(changes))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "records", got.Records, want)
	}
	t.Run("a list takes the place of the one", func(t *testing.T) {
		correct(t, one, `{"records":[{"siteId":7,"recordName":"a.example.com"},{"recordName":"b.example.com"}]}`, several().Records)
	})
	t.Run("the one takes the place of a list", func(t *testing.T) {
		correct(t, several(), `{"recordName":"c.example.com"}`, []routine.Record{{RecordName: "c.example.com"}})
	})
	t.Run("the site of the one goes away with null, so that it is looked for", func(t *testing.T) {
		correct(t, one, `{"siteId":null}`, []routine.Record{{RecordName: "a.example.com"}})
	})
	t.Run("a list keeps its host names if something else is corrected", func(t *testing.T) {
		correct(t, several(), `{"name":"cd"}`, several().Records)
	})
	for changes, want := range map[string]string{`{"siteId":8}`: "/siteId value", `{"action":"delete"}`: "/action value", `{"Records":[{}]}`: "/Records/0/recordName missing"} {
		t.Run("refuses "+changes+" for a list", func(t *testing.T) {
			_, err := routine.Correct(several(), []byte(changes))
			wantProblem(t, err, want)
		})
	}
	t.Run("a deletion keeps its action, and takes no host name", func(t *testing.T) {
		deletion := routine.Request{Action: routine.Delete, Name: "ab"}
		got, err := routine.Correct(deletion, []byte(`{"name":"cd"}`))
		if err != nil || got.Action != routine.Delete || got.Name != "cd" {
			t.Errorf("got %+v, %v", got, err)
		}
		_, err = routine.Correct(deletion, []byte(`{"recordName":"a.example.com"}`))
		wantProblem(t, err, "/recordName unknown-field")
	})
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"72h": 72 * time.Hour, "7d": 7 * 24 * time.Hour, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "1d12h": 36 * time.Hour, "45s": 45 * time.Second,
		"3650d": time.Duration(routine.MaxSpan),
	} {
		t.Run("reads "+text, func(t *testing.T) {
			got, detail := routine.ParseSpan(text)
			if time.Duration(got) != want || detail != "" {
				t.Errorf("got %s, %s", got, detail)
			}
			again, detail := routine.ParseSpan(got.String())
			if again != got || detail != "" {
				t.Errorf("%s is read as %s, %s", got, again, detail)
			}
		})
	}
	for _, text := range []string{
		"", "0h", "0d", "-1h", "+1h", "1.5h", "1ms", "1500ms", "1µs", "72", "h", "d", "d1h", "-1d", "99999d", "3651d", "1w", "1d0", "1h1d", "1d1d", "2562048h", "9999999999h", "soon",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			if got, detail := routine.ParseSpan(text); detail == "" || len(detail) > 200 {
				t.Errorf("got %s, %s", got, detail)
			}
		})
	}
	t.Run("a text that is not one is no JSON of it", func(t *testing.T) {
		var s routine.Span
		for _, text := range []string{`"soon"`, `72`, `null1`} {
			if err := json.Unmarshal([]byte(text), &s); err == nil {
				t.Errorf("%s is taken", text)
			}
		}
	})
}
