package accept

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// bodies names the schemas of the Go types that are written and read as JSON.
func bodies() map[string]reflect.Type {
	return map[string]reflect.Type{
		"Problem":           reflect.TypeFor[api.Problem](),
		"JobList":           reflect.TypeFor[api.JobList](),
		"Routine":           reflect.TypeFor[api.Routine](),
		"RoutineRecord":     reflect.TypeFor[api.RoutineRecord](),
		"RoutineJob":        reflect.TypeFor[api.RoutineJob](),
		"RoutineList":       reflect.TypeFor[api.RoutineList](),
		"RoutineFilter":     reflect.TypeFor[api.RoutineFilter](),
		"Deletion":          reflect.TypeFor[api.Deletion](),
		"Renewal":           reflect.TypeFor[api.Renewal](),
		"PlanRequest":       reflect.TypeFor[api.PlanRequest](),
		"Plan":              reflect.TypeFor[api.Plan](),
		"PlanItem":          reflect.TypeFor[api.PlanItem](),
		"ApplyRequest":      reflect.TypeFor[api.ApplyRequest](),
		"Applied":           reflect.TypeFor[api.Applied](),
		"AppliedItem":       reflect.TypeFor[api.AppliedItem](),
		"Drift":             reflect.TypeFor[api.Drift](),
		"Ignored":           reflect.TypeFor[api.Ignored](),
		"Finding":           reflect.TypeFor[api.Finding](),
		"Record":            reflect.TypeFor[routine.Record](),
		"RecordResult":      reflect.TypeFor[routine.RecordResult](),
		"BatchResult":       reflect.TypeFor[api.BatchResult](),
		"Verdict":           reflect.TypeFor[api.Verdict](),
		"Cancellation":      reflect.TypeFor[api.Cancellation](),
		"DeadLetter":        reflect.TypeFor[api.DeadLetter](),
		"Callback":          reflect.TypeFor[routine.CallbackStatus](),
		"Waiting":           reflect.TypeFor[routine.Waiting](),
		"Left":              reflect.TypeFor[routine.Left](),
		"Counts":            reflect.TypeFor[api.Counts](),
		"RedriveOneRequest": reflect.TypeFor[api.Correction](),
		"Event":             reflect.TypeFor[callback.Event](),
		"Received":          reflect.TypeFor[routine.Received](),
		"DeadLetterList":    reflect.TypeFor[api.DeadLetterList](),
		"CodeCount":         reflect.TypeFor[api.CodeCount](),
		"DeadLetterFilter":  reflect.TypeFor[api.DeadLetterFilter](),
		"RedriveRequest":    reflect.TypeFor[api.Redrive](),
		"WorkedOff":         reflect.TypeFor[api.WorkedOff](),
		"DeadLetterFailure": reflect.TypeFor[api.DeadLetterFailure](),
		"Job":               reflect.TypeFor[routine.Job](),
		"FieldProblem":      reflect.TypeFor[routine.Problem](),
		"Attempt":           reflect.TypeFor[routine.Attempt](),
		"Progress":          reflect.TypeFor[routine.Progress](),
		"Look":              reflect.TypeFor[routine.Look](),
		"Result":            reflect.TypeFor[routine.Result](),
		"Redrive":           reflect.TypeFor[routine.Redrive](),
		"Account":           reflect.TypeFor[api.Account](),
		"Park":              reflect.TypeFor[api.Park](),
		"Pause":             reflect.TypeFor[routine.Pause](),
		"Quota":             reflect.TypeFor[routine.Quota](),
		"WaitingJob":        reflect.TypeFor[api.WaitingJob](),
		"PauseRequest":      reflect.TypeFor[api.PauseRequest](),
		"ResumeRequest":     reflect.TypeFor[api.ResumeRequest](),
		"QueuedJob":         reflect.TypeFor[queue.Envelope](),
		"Limits":            reflect.TypeFor[routine.Limits](),
		"KnownCode":         reflect.TypeFor[routine.Code](),
		"CodeProgress":      reflect.TypeFor[routine.CodeProgress](),
		"CodeResult":        reflect.TypeFor[routine.CodeResult](),
		"OwnVersion":        reflect.TypeFor[routine.OwnVersion](),
		"KeptCode":          reflect.TypeFor[api.KeptCode](),
		"LiveCode":          reflect.TypeFor[api.LiveCode](),
		"Rollback":          reflect.TypeFor[api.Rollback](),
	}
}

func TestContractSchemasAreTheGoTypes(t *testing.T) {
	schemas := newContract(t).doc.Components.Schemas
	for name, goType := range bodies() {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(fieldsOf(goType), propertiesOf(schemas[name].Value)); diff != "" {
				t.Errorf("-%s +%s:\n%s", goType, name, diff)
			}
		})
	}
	t.Run("RequestedRecord is a Record in which ids may be text", func(t *testing.T) {
		if diff := cmp.Diff(propertiesOf(schemas["Record"].Value), propertiesOf(schemas["RequestedRecord"].Value)); diff != "" {
			t.Errorf("-Record +RequestedRecord:\n%s", diff)
		}
	})
	t.Run("RoutineRequest is a Request without an action, in which ids may be text", func(t *testing.T) {
		want := propertiesOf(schemas["Request"].Value)
		delete(want, "action")
		delete(want, "version")
		want["records"], want["code"] = "array of RequestedRecord", "Code"
		if diff := cmp.Diff(want, propertiesOf(schemas["RoutineRequest"].Value)); diff != "" {
			t.Errorf("-Request +RoutineRequest:\n%s", diff)
		}
	})
	t.Run("Changes are those of a RoutineRequest, none of which must be there", func(t *testing.T) {
		want := propertiesOf(schemas["RoutineRequest"].Value)
		want["name"], want["code"], want["version"] = "string", "KnownCode", "string"
		if diff := cmp.Diff(want, propertiesOf(schemas["Changes"].Value)); diff != "" {
			t.Errorf("-RoutineRequest +Changes:\n%s", diff)
		}
	})
	t.Run("BatchItem is a RoutineRequest with a key", func(t *testing.T) {
		item := propertiesOf(schemas["BatchItem"].Value)
		if item["idempotencyKey"] != "string" {
			t.Errorf("idempotencyKey: %q", item["idempotencyKey"])
		}
		delete(item, "idempotencyKey")
		item["code"] = strings.TrimPrefix(item["code"], "Known") // only its hash has room
		if diff := cmp.Diff(propertiesOf(schemas["RoutineRequest"].Value), item); diff != "" {
			t.Errorf("-RoutineRequest +BatchItem:\n%s", diff)
		}
	})
	t.Run("BareMessage is a RoutineRequest without protection and code", func(t *testing.T) {
		want := propertiesOf(schemas["RoutineRequest"].Value)
		for _, member := range []string{"protected", "code", "environments", "codeDescription"} {
			delete(want, member)
		}
		if diff := cmp.Diff(want, propertiesOf(schemas["BareMessage"].Value)); diff != "" {
			t.Errorf("-RoutineRequest +BareMessage:\n%s", diff)
		}
	})
	t.Run("QueuedCallback is a Callback, whose event is an Event", func(t *testing.T) {
		want := fieldsOf(reflect.TypeFor[queue.Callback]())
		want["event"] = "Event, required"
		if diff := cmp.Diff(want, propertiesOf(schemas["QueuedCallback"].Value)); diff != "" {
			t.Errorf("-Callback +QueuedCallback:\n%s", diff)
		}
	})
	t.Run("there are no others", func(t *testing.T) {
		written := slices.AppendSeq([]string{
			"Request", "RoutineRequest", "Code", "RequestedRecord", "BatchItem", "Changes", "Labels", "Health", "GitHubEvent", "BareMessage", "QueuedCallback",
			"EventMessage", "JobEnvelope", "CallbackEnvelope", "UnverifiedEnvelope", // the form of CloudEvents
		}, maps.Keys(bodies()))
		for name, schema := range schemas {
			if schema.Value.Type.Is("object") && !slices.Contains(written, name) {
				t.Errorf("no Go type is known to be a %s", name)
			}
		}
	})
	t.Run("all are closed, so that a field too many is found", func(t *testing.T) {
		for name, schema := range schemas {
			s := schema.Value
			if !s.Type.Is("object") || name == "DeadLetterFilter" || name == "RoutineFilter" { // what includes them is closed itself
				continue
			}
			if name == "Labels" || name == "GitHubEvent" || name == "EventMessage" { // its members are the caller's, GitHub's, and another program's
				continue
			}
			if !isFalse(s.AdditionalProperties) && !isFalse(s.UnevaluatedProperties) {
				t.Errorf("%s is open", name)
			}
		}
	})
}

// TestContractRequest compares the schema with what is written: one record stands in the request itself, several in a list.
func TestContractRequest(t *testing.T) {
	c := newContract(t)
	full := routine.Request{
		Action: routine.Renew, Name: "pr-1", Description: ptr(""), HasAssets: ptr(false), Records: wish.Records, IfExists: routine.Update,
		ExpiresIn: routine.Span(72 * time.Hour), Protected: ptr(false), Labels: map[string]string{"team": "web"}, CallbackURL: hook,
		Code: routine.NewCode([]byte("x")), Environments: []routine.Environment{routine.Staging}, CodeDescription: "x", Version: routine.Previous,
	}
	several := full
	several.Records = []routine.Record{{SiteID: 7, RecordName: "a.example.com"}, {RecordName: "b.example.com"}}
	written := map[string]bool{}
	for _, request := range []routine.Request{full, several, {Name: "pr-1"}} {
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.fit("#/components/schemas/Request", text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			written[name] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(c.doc.Components.Schemas["Request"].Value.Properties)), slices.Sorted(maps.Keys(written))); diff != "" {
		t.Errorf("-Request +written:\n%s", diff)
	}
}

func isFalse(s openapi3.BoolSchema) bool { return s.Has != nil && !*s.Has }

// fieldsOf describes the members of a struct in JSON: the kind of each, and whether it is always there.
func fieldsOf(goType reflect.Type) map[string]string {
	out := map[string]string{}
	for field := range goType.Fields() {
		if field.Anonymous {
			maps.Copy(out, fieldsOf(field.Type))
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		out[name] = goKind(field.Type)
		if !strings.HasPrefix(options, "omit") {
			out[name] += ", required"
		}
	}
	return out
}

// goKind is how JSON holds a Go type.
func goKind(goType reflect.Type) string {
	switch {
	case goType == reflect.TypeFor[time.Time]():
		return "string date-time"
	case goType == reflect.TypeFor[json.RawMessage]():
		return "Changes" // the only JSON that is passed on as it is
	case goType == reflect.TypeFor[routine.Request]():
		return "Request" // which is written otherwise than its fields are: see TestContractRequest
	case goType == reflect.TypeFor[routine.SiteIDs]():
		return "array of string"
	case goType.Kind() == reflect.Map:
		return "Labels"
	case goType.Kind() == reflect.Pointer:
		return goKind(goType.Elem())
	case goType.Kind() == reflect.Slice:
		return "array of " + goKind(goType.Elem())
	case goType.Kind() == reflect.Int64:
		return "integer int64"
	case goType.Kind() == reflect.Int:
		return "integer"
	case goType.Kind() == reflect.Bool:
		return "boolean"
	case goType.Kind() == reflect.String:
		return "string"
	}
	for name, other := range bodies() {
		if other == goType {
			return name
		}
	}
	return "unknown " + goType.String()
}

// propertiesOf describes the members of a schema as fieldsOf does.
func propertiesOf(schema *openapi3.Schema) map[string]string {
	out := map[string]string{}
	for _, part := range schema.AllOf {
		maps.Copy(out, propertiesOf(part.Value))
	}
	for name, property := range schema.Properties {
		out[name] = schemaKind(property)
		if slices.Contains(schema.Required, name) {
			out[name] += ", required"
		}
	}
	return out
}

// schemaKind is how a schema's values are held. Of alternatives it is the first: the others become it.
func schemaKind(ref *openapi3.SchemaRef) string {
	schema := ref.Value
	switch {
	case len(schema.OneOf) > 0:
		return schemaKind(schema.OneOf[0])
	case schema.Type.Is("object"):
		return strings.TrimPrefix(ref.Ref, "#/components/schemas/")
	case schema.Type.Is("array"):
		return "array of " + schemaKind(schema.Items)
	}
	return strings.TrimSpace(fmt.Sprint(strings.Join(schema.Type.Slice(), " "), " ", dataFormat(schema.Format)))
}

// dataFormat is a format that says how the value is held; others say what it must look like.
func dataFormat(format string) string {
	if format == "uri-reference" {
		return ""
	}
	return format
}

func TestContractEnumsAreTheGoValues(t *testing.T) {
	schemas := newContract(t).doc.Components.Schemas
	for name, want := range map[string][]any{
		"JobState": {routine.Queued, routine.Succeeded, routine.DeadLettered, routine.Cancelled, routine.Dropped, routine.Superseded},
		"IfExists": {routine.Adopt, routine.Fail, routine.Update},
		"Action":   {routine.Delete, routine.Unbind, routine.Renew, routine.Rollback, routine.TakeOwnership, routine.Expire, routine.Remove},
		"Outcome": {
			routine.Created, routine.Adopted, routine.Unknown, routine.Updated, routine.Deleted, routine.Absent, routine.Passed, routine.Claimed,
			routine.Renewed,
		},
		"ClaimState":    {routine.Creating, routine.Live, routine.Expiring, routine.Deleting, routine.Gone},
		"ListedState":   {routine.Creating, routine.Live, routine.Expiring, routine.Deleting},
		"Ownership":     {routine.Owned, routine.Unproven, routine.AdoptedThing},
		"DriftKind":     {api.DriftGone, api.DriftMadeAgain, api.DriftUnclaimed, api.DriftDescription, api.DriftForeignRecord, api.DriftForeignRoute},
		"WaitingFor":    {routine.ForQueue, routine.ForTurn, routine.ForAccountLock, routine.ForBackoff, routine.ForThrottle, routine.ForPark, routine.ForPause},
		"Lane":          {routine.Running, routine.Parked, routine.Paused},
		"VerdictStatus": {api.Accepted, api.Duplicate, api.Rejected, api.Failed},
		"Origin":        {api.Worker, api.Trigger},
		"Kind": {
			fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Account, fault.Quota,
			fault.Locked, fault.Throttled, fault.Unavailable, fault.Internal,
		},
		"Step": {
			routine.ListSites, routine.GetRoutine, routine.CreateRoutine, routine.UpdateRoutineConfigDescription, routine.CreateRoutineRelatedRecord,
			routine.ListRoutineRelatedRecords, routine.ListRoutineRoutes, routine.DeleteRoutineRelatedRecord, routine.DeleteRoutine,
			routine.GetRoutineStagingCodeUploadInfo, routine.PostObject, routine.CommitRoutineStagingCode, routine.ListRoutineCodeVersions,
			routine.GetRoutineCodeVersion, routine.DeleteRoutineCodeVersion, routine.CreateRoutineCodeDeployment, routine.ListEdgeRoutinePlans,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(schemas[name].Value.Enum...); got != fmt.Sprint(want...) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// explained are the sections of a page of problems by their codes: the status, and whether the same request can succeed later.
func explained(t *testing.T, page, retryable, not string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, section := range regexp.MustCompile(`(?m)^## (\S+)\n\n(\d{3})(?:, |，)([^.。]+)[.。]`).FindAllStringSubmatch(string(text), -1) {
		out[section[1]] = section[2] + " " + map[string]string{retryable: "true", not: "false"}[section[3]]
	}
	return out
}

func TestContractProblems(t *testing.T) {
	doc := newContract(t).doc
	sections := explained(t, "problems.md", "retryable", "not retryable")
	t.Run("each code is explained on the page, and no other", func(t *testing.T) {
		var codes []string
		for _, code := range doc.Components.Schemas["ProblemCode"].Value.Enum {
			codes = append(codes, fmt.Sprint(code))
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(codes)), slices.Sorted(maps.Keys(sections))); diff != "" {
			t.Errorf("-openapi.yaml +problems.md:\n%s", diff)
		}
	})
	t.Run("the page in Chinese has the same codes, statuses and verdicts", func(t *testing.T) {
		if diff := cmp.Diff(sections, explained(t, "problems.zh-CN.md", "可重试", "不可重试")); diff != "" {
			t.Errorf("-problems.md +problems.zh-CN.md:\n%s", diff)
		}
	})
	t.Run("the page says of each status what the code does", func(t *testing.T) {
		for code, said := range sections {
			status, _, _ := strings.Cut(said, " ")
			n, _ := strconv.Atoi(status)
			if want := fmt.Sprint(status, " ", api.NewProblem(n, code, "", "").Retryable); said != want {
				t.Errorf("%s: %s, in the code %s", code, said, want)
			}
		}
	})
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			t.Run("the examples of "+method+" "+path+" are those of the codes and statuses", func(t *testing.T) {
				for status, documented := range operation.Responses.Map() {
					media := documented.Value.Content["application/problem+json"]
					if media == nil {
						continue
					}
					for code, example := range media.Examples {
						got := example.Value.Value.(map[string]any)
						want := fmt.Sprint(status, " ", got["retryable"])
						if fmt.Sprint(got["type"], got["code"], got["status"]) != fmt.Sprint("/problems#", code, code, status) || sections[code] != want {
							t.Errorf("%s %s: on the page %q, the example is %v", status, code, sections[code], got)
						}
					}
				}
			})
		}
	}
}
