package provision

// rememberedJobs bounds the memory for copies: MNS delivers at least once, and a copy comes soon or not at all.
const rememberedJobs = 1024

// recent is a bounded memory of jobs, by id and request. It saves ESA calls and keeps a copy of a finished job from being judged anew; no
// job's outcome depends on it, since every step finds out by itself what is done. The worker handles one event at a time.
type recent struct {
	known map[string]bool
	order []string
	next  int
}

func (r *recent) has(id string) bool { return r.known[id] }

func (r *recent) add(id string) {
	if r.known[id] {
		return
	}
	if r.known == nil {
		r.known, r.order = make(map[string]bool, rememberedJobs), make([]string, rememberedJobs)
	}
	delete(r.known, r.order[r.next])
	r.known[id], r.order[r.next] = true, id
	r.next = (r.next + 1) % rememberedJobs
}
