package accept

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// bounds are what a schema says of a value beside its type.
func bounds(s *openapi3.Schema) string {
	var out []string
	say := func(name string, there bool, value any) {
		if there {
			out = append(out, fmt.Sprint(name, " ", value))
		}
	}
	number := func(f *float64) any {
		if f == nil {
			return nil
		}
		return int64(*f)
	}
	length := func(n *uint64) any {
		if n == nil {
			return nil
		}
		return *n
	}
	say("minimum", s.Min != nil, number(s.Min))
	say("maximum", s.Max != nil, number(s.Max))
	say("minLength", s.MinLength > 0, s.MinLength)
	say("maxLength", s.MaxLength != nil, length(s.MaxLength))
	say("minItems", s.MinItems > 0, s.MinItems)
	say("maxItems", s.MaxItems != nil, length(s.MaxItems))
	say("default", s.Default != nil, s.Default)
	return strings.Join(out, ", ")
}

func TestContractBoundsAreTheCodes(t *testing.T) {
	doc := newContract(t).doc
	schema := func(name string) *openapi3.Schema { return doc.Components.Schemas[name].Value }
	member := func(name, member string) *openapi3.Schema { return schema(name).Properties[member].Value }
	parameter := func(name string) *openapi3.Schema { return doc.Components.Parameters[name].Value.Schema.Value }
	inDelete := func(name string) *openapi3.Schema {
		return doc.Paths.Find("/v1/dead-letters").Delete.Parameters.GetByInAndName("query", name).Schema.Value
	}
	text := func(most int) string { return fmt.Sprintf("minLength 1, maxLength %d", most) }
	items := func(most int) string { return fmt.Sprintf("minItems 1, maxItems %d", most) }
	for name, test := range map[string]struct {
		of   *openapi3.Schema
		want string
	}{
		"a page":                       {parameter("Limit"), fmt.Sprintf("minimum 1, maximum %d, default %d", ledger.MaxPage, defaultPage)},
		"how many are redriven":        {member("RedriveRequest", "limit"), fmt.Sprintf("minimum 1, maximum %d", maxWork)},
		"how many are dropped":         {inDelete("limit"), fmt.Sprintf("minimum 1, maximum %d", maxWork)},
		"all":                          {inDelete("all"), "default false"},
		"a dry run":                    {parameter("DryRun"), "default false"},
		"a key":                        {parameter("IdempotencyKey"), text(maxKey)},
		"the key of a batch":           {parameter("BatchIdempotencyKey"), text(maxKey)},
		"the key of an item":           {member("BatchItem", "idempotencyKey"), text(maxKey)},
		"the beginning of a key":       {parameter("FilterKeyPrefix"), text(maxWord)},
		"the same in a body":           {member("DeadLetterFilter", "keyPrefix"), text(maxWord)},
		"a caller":                     {parameter("FilterCaller"), text(maxWord)},
		"a caller in a body":           {member("DeadLetterFilter", "caller"), text(maxWord)},
		"a code":                       {parameter("FilterCode"), text(maxWord)},
		"a code in a body":             {member("DeadLetterFilter", "code"), text(maxWord)},
		"ids":                          {parameter("FilterID"), items(api.MaxIDs)},
		"ids in a body":                {member("DeadLetterFilter", "ids"), items(api.MaxIDs)},
		"an id":                        {parameter("FilterID").Items.Value, text(maxWord)},
		"an id in a body":              {member("DeadLetterFilter", "ids").Items.Value, text(maxWord)},
		"a reason":                     {schema("Reason"), text(api.MaxReason)},
		"a reason in an address":       {parameter("QueryReason"), text(api.MaxReason)},
		"a batch":                      {schema("Batch"), items(api.MaxBatch)},
		"verdicts":                     {member("BatchResult", "items"), items(api.MaxBatch)},
		"the place of a verdict":       {member("Verdict", "index"), fmt.Sprintf("minimum 0, maximum %d", api.MaxBatch-1)},
		"listed jobs":                  {member("JobList", "jobs"), fmt.Sprintf("maxItems %d", ledger.MaxPage)},
		"listed dead letters":          {member("DeadLetterList", "deadLetters"), fmt.Sprintf("maxItems %d", ledger.MaxPage)},
		"ids of what was done":         {member("WorkedOff", "ids"), fmt.Sprintf("maxItems %d", api.MaxIDs)},
		"a name":                       {schema("RoutineName"), fmt.Sprintf("minLength 2, maxLength %d", routine.MaxName)},
		"a callback URL":               {schema("CallbackURL"), text(routine.MaxCallbackURL)},
		"what to do with what exists":  {schema("IfExists"), "default " + string(routine.Adopt)},
		"a site":                       {schema("SiteID"), "minimum 1"},
		"host names":                   {schema("RequestedRecords"), items(routine.MaxRecords)},
		"host names of a request":      {member("Request", "records"), fmt.Sprintf("minItems 2, maxItems %d", routine.MaxRecords)},
		"host names of a result":       {member("Result", "records"), fmt.Sprintf("maxItems %d", routine.MaxRecords)},
		"host names of progress":       {member("Progress", "records"), fmt.Sprintf("maxItems %d", routine.MaxRecords)},
		"shown host names":             {member("Routine", "records"), fmt.Sprintf("maxItems %d", api.MaxShownRecords)},
		"shown jobs":                   {member("Routine", "jobs"), fmt.Sprintf("maxItems %d", api.MaxShownJobs)},
		"host names of a shown job":    {member("RoutineJob", "recordNames"), fmt.Sprintf("maxItems %d", routine.MaxRecords)},
		"overtaken jobs":               {member("Job", "overtook"), fmt.Sprintf("maxItems %d", routine.MaxOvertook)},
		"listed routines":              {member("RoutineList", "routines"), fmt.Sprintf("maxItems %d", ledger.MaxPage)},
		"names of a filter":            {member("RoutineFilter", "names"), items(api.MaxIDs)},
		"an owner":                     {parameter("FilterOwner"), text(maxWord)},
		"an owner in a body":           {member("RoutineFilter", "caller"), text(maxWord)},
		"a label to filter by":         {schema("LabelFilter"), text(routine.MaxLabelKey + 1 + routine.MaxLabelValue)},
		"a label's value":              {schema("Labels").AdditionalProperties.Schema.Value, text(routine.MaxLabelValue)},
		"a plan":                       {member("Plan", "items"), fmt.Sprintf("maxItems %d", api.MaxIDs)},
		"a plan to carry out":          {member("ApplyRequest", "items"), items(api.MaxIDs)},
		"what became of a plan":        {member("Applied", "items"), fmt.Sprintf("maxItems %d", api.MaxIDs)},
		"differences":                  {member("Drift", "findings"), fmt.Sprintf("maxItems %d", api.MaxFindings)},
		"what is wrong, and that more": {member("Problem", "errors"), items(maxQueryProblems + 1)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bounds(test.of); got != test.want {
				t.Errorf("documented: %s; in the code: %s", got, test.want)
			}
		})
	}
	if most := schema("Labels").MaxProps; most == nil || *most != routine.MaxLabels {
		t.Errorf("labels: documented %v", most)
	}
	for _, words := range []string{
		fmt.Sprintf("at most %d KiB", queue.MaxMessageBytes>>10), fmt.Sprintf("at most %d MiB", api.MaxBatchBytes>>20),
		fmt.Sprintf("%d seconds at most", int(maxWait.Seconds())), fmt.Sprintf("At most %d,000 bytes", callback.MaxEventBytes/1000),
	} {
		if !strings.Contains(string(contractPage), words) {
			t.Errorf("it does not say: %s", words)
		}
	}
}

func TestContractPatternsAreTheCodes(t *testing.T) {
	schemas := newContract(t).doc.Components.Schemas
	fits := func(s *openapi3.Schema, text string) bool {
		return regexp.MustCompile(s.Pattern).MatchString(text) && uint64(len(text)) >= s.MinLength && (s.MaxLength == nil || uint64(len(text)) <= *s.MaxLength)
	}
	t.Run("of a routine's name", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9A-Z_-]{0,3}[a-z0-9-]{0,42}`).Draw(t, "name")
		if want := routine.CheckName(text) == ""; fits(schemas["RoutineName"].Value, text) != want {
			t.Fatalf("%q: in the code %t", text, want)
		}
	}))
	t.Run("of a host name", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.StringMatching(`([a-z0-9-]{1,5}\.){0,3}([a-z]{1,4}|xn--bcher-kva|[a-z0-9-]{1,4})`).Draw(t, "host")
		normal, detail := routine.NormalizeRecordName(text)
		if detail == "" && !fits(schemas["HostName"].Value, normal) {
			t.Fatalf("%q is taken and is not documented", normal)
		}
	}))
	t.Run("of a span", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{0,4}[dhmsx]?([0-9]{0,2}[dhms]?){0,2}`).Draw(t, "span")
		span, detail := routine.ParseSpan(text)
		if detail == "" && (!fits(schemas["ExpiresIn"].Value, text) || !fits(schemas["ExpiresIn"].Value, span.String())) {
			t.Fatalf("%q is taken and is not documented", text)
		}
	}))
	t.Run("of a label to filter by", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.StringMatching(`[A-Za-z0-9._/-]{0,3}[a-z ü]{0,39}(={0,2}[a-z=]{0,82})?`).Draw(t, "label")
		if want := text != "" && checkLabelFilter(text) == ""; fits(schemas["LabelFilter"].Value, text) != want && len(text) <= routine.MaxLabelValue {
			t.Fatalf("%q: in the code %t", text, want)
		}
	}))
	t.Run("of an id", rapid.MakeCheck(func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?0{0,2}[0-9]{0,19}`).Draw(t, "id")
		_, p := routine.ParseID([]byte(`"` + text + `"`))
		overflows := len(strings.TrimLeft(text, "0")) == 19 && strings.TrimLeft(text, "0") > fmt.Sprint(int64(math.MaxInt64))
		if got := fits(schemas["AnySiteID"].Value.OneOf[1].Value, text); got != (p == nil) && !overflows {
			t.Fatalf("%q: documented %t, in the code %v", text, got, p)
		}
	}))
}
