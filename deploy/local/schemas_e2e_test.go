package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"routinely/deploy/local/stack"
	"routinely/deploy/sim"
	"routinely/queue"
)

// schema is one that accept serves.
func (d *deployment) schema(name string) *jsonschema.Schema {
	d.t.Helper()
	at := d.url[stack.FunctionAccept] + "/schemas/" + name + ".json"
	file, err := jsonschema.UnmarshalJSON(strings.NewReader(d.insist(http.MethodGet, "/schemas/"+name+".json", "")))
	if err != nil {
		d.t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(at, file); err != nil {
		d.t.Fatal(err)
	}
	return compiler.MustCompile(at)
}

// TestSchemas holds to the schemas what the functions put on queues and post to receivers.
func TestSchemas(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	fits := func(name, text string) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = d.schema(name).Validate(value)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	// dead waits for a message of a type on the dead-letter queue.
	dead := func(eventType string) (message string) {
		t.Helper()
		until(t, eventType+" is on the dead-letter queue", func() bool {
			for _, body := range d.messages(stack.DeadLetterQueue) {
				if strings.Contains(body, `"type":"`+eventType+`"`) {
					message = body
				}
			}
			return message != ""
		})
		return message
	}
	// posted waits for a callback.
	posted := func(eventType string) (event string) {
		t.Helper()
		until(t, eventType+" was posted", func() bool {
			event = d.receiver.last()
			return strings.Contains(event, `"type":"`+eventType+`"`)
		})
		return event
	}

	o, hopeless := d.several(1)[0], d.hopeless()
	release := d.holdLock()
	d.submit(o)
	fits("envelope", d.messageOf(o))
	fits("job", d.insist(http.MethodGet, "/v1/jobs/"+o.id, ""))

	d.unwanted()
	release()
	fits("event", posted("routinely.job.succeeded"))
	fits("envelope", dead(queue.TypeCallback))

	hopeless.callback = true
	d.submit(hopeless)
	fits("event", posted("routinely.job.dead-lettered"))
	fits("job", d.insist(http.MethodGet, "/v1/jobs/"+hopeless.id, ""))

	d.put(stack.CallbackQueue, sim.Sealed(queue.TypeCallback, "nobody", "{}"))
	fits("envelope", dead(queue.TypeUnverified))
}
