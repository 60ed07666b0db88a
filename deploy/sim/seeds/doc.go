// Package seeds is a simulation: it tries to break the whole pipeline, from a seed. It has tests only.
//
// One run is one seed. It makes a plan of intents and of what outsiders do, and a world: the local servers of MNS, ESA and Tablestore and the
// handlers of all four functions, joined as their commands join them, in this process. The handlers speak to the servers through the official
// SDKs and sockets. The servers hold every call until the driver answers it. So the driver, which is one goroutine, decides what happens next:
// which call is answered, which breaks before or after its effect, whose process is killed in the middle, which message is delivered twice, late or
// old, when time passes. Each decision comes from the seed, and is made only while nothing moves: a seed always gives the same run.
//
// In the end the driver lets everything come to rest, and checks what users were promised. A failed run prints its seed and its trace.
package seeds
