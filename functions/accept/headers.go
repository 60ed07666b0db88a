package accept

import (
	"fmt"
	"net/http"
	"strings"
)

// checkRepeated refuses a request with a header that is there more than once. Two readers would take different ones: what stands in front of the
// function may have looked at another than the function does.
//
// Function Compute joins repeated headers by commas. So a comma is refused in the headers that say who asks and under which key: their values
// hold none. Other schemes of Authorization may hold one, and are refused for their scheme. The id of a webhook may hold one, since it is signed.
func checkRepeated(header http.Header) error {
	for name, values := range header {
		if len(values) > 1 {
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
