package accept

import (
	"fmt"
	"net/http"
	"strings"

	"routinely/shared/trace"
)

// checkRepeated refuses a request with a header that is there more than once. Two readers would take different ones: what stands in front of the
// function may have looked at another than the function does.
//
// Function Compute joins repeated headers by commas. So a comma is refused in the headers that say who asks and under which key: their values
// hold none. Other schemes of Authorization may hold one, and are refused for their scheme. The id of a webhook may hold one, since it is signed.
//
// The headers of a trace decide nothing, and are put on by what is between a caller and the function: they never make a request fail.
func checkRepeated(header http.Header) error {
	for name, values := range header {
		if len(values) > 1 && !strings.EqualFold(name, trace.Header) && !strings.EqualFold(name, "tracestate") {
			return problemRepeated.with(fmt.Sprintf("the header %.40q is there more than once: send it once", name))
		}
	}
	for _, name := range []string{"Authorization", "Idempotency-Key", "Webhook-Timestamp", "X-Hub-Signature-256"} {
		value := header.Get(name)
		scheme, _, _ := strings.Cut(value, " ")
		if strings.Contains(value, ",") && (name != "Authorization" || strings.EqualFold(scheme, "Bearer")) {
			return problemRepeated.with(fmt.Sprintf("the header %s holds a comma, as if it were there more than once: send it once, without a comma", name))
		}
	}
	return nil
}

// spanOf is the span of what is done for a request: of the trace that its header names, or of a new one. A header that is invalid or there more than
// once names none (W3C Trace Context, section 3.2).
func (s *Service) spanOf(header http.Header) trace.Parent {
	var parent trace.Parent
	if values := header.Values(trace.Header); len(values) == 1 && !strings.Contains(values[0], ",") {
		parent, _ = trace.Parse(values[0])
	}
	return parent.Child(s.Bits)
}
