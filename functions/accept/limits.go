package accept

import (
	"fmt"
	"maps"
	"slices"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// bodyLimits are the longest bodies in bytes, by the route's pattern. openapi.yaml states them, and a test compares. A job travels in one MNS
// message, so that more than a message holds could never be accepted of what makes one job, but for its code.
func bodyLimits() map[string]int {
	const message = queue.MaxMessageBytes
	return map[string]int{
		"/v1/routines":                       api.MaxBatchBytes, // the code in it is kept apart
		"/v1/code":                           routine.MaxCode,
		"/v1/routines:batch":                 api.MaxBatchBytes,
		"/v1/routines:plan-delete":           message,
		"/v1/routines:apply-delete":          api.MaxBatchBytes,
		"/v1/routines:check":                 message,
		"/v1/routines/{id}":                  message,
		"/v1/routines/{id}/records/{record}": message,
		"/v1/github":                         maxGitHubEvent,
		"/v1/jobs":                           message,
		"/v1/jobs/{id}":                      message,
		"/v1/dead-letters":                   message,
		"/v1/dead-letters:redrive":           message,
		"/v1/dead-letters/{id}":              message,
		"/v1/account":                        message,
		"/v1/account:pause":                  message,
		"/v1/account:resume":                 message,
	}
}

// longestBody is the longest that any route takes, in bytes.
func longestBody() int { return slices.Max(slices.Collect(maps.Values(bodyLimits()))) }

// maxRest is how long an event may be without its body, in bytes. The trigger takes 8 KB of headers and 4 KB of path and query, which are
// there twice, and writes no byte in more than six.
const maxRest = 256 << 10

// MaxEvent is the longest event that can hold a request that a route takes, in bytes: JSON writes a byte of a body in six at most (\u003c), and
// Base64 makes four of three.
func MaxEvent() int { return 6*longestBody() + maxRest }

// tooLong is the problem of a body that is longer than limit, in bytes.
func tooLong(limit int) problem {
	return problemTooLarge.with(fmt.Sprintf("the body is longer than %d bytes", limit))
}

// maxShown bounds what a log line or a problem repeats of what others wrote, in bytes.
const maxShown = 200
