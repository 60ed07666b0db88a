package demo

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows what happens while it happens: two bars on a terminal, a line for each step elsewhere.
type progress struct {
	began time.Time

	mu sync.Mutex
	to io.Writer
	// bars is nil where there is no terminal.
	bars                         *mpb.Progress
	submittedBar, settledBar     *mpb.Bar
	submittedCount, settledCount int
	requests, jobs               int
}

func newProgress(to io.Writer, requests, jobs int) *progress {
	p := &progress{began: time.Now(), to: to, requests: requests, jobs: jobs}
	if !isTerminal(to) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(to), mpb.WithWidth(50))
	p.submittedBar = p.bar("submitted", requests)
	p.settledBar = p.bar("settled", jobs)
	return p
}

func (p *progress) bar(name string, total int) *mpb.Bar {
	return p.bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 10, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d")))
}

// isTerminal reports whether somebody watches.
func isTerminal(to io.Writer) bool {
	file, ok := to.(interface{ Fd() uintptr })
	return ok && cwriter.IsTerminal(int(file.Fd()))
}

// note shows something that everybody should see.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print(format, args...)
}

// step shows something that bars make up for.
func (p *progress) step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		p.print(format, args...)
	}
}

// submitted counts a request that was handed over.
func (p *progress) submitted(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.submittedCount++
	if p.bars != nil {
		p.submittedBar.Increment()
		return
	}
	p.print("submitted %d/%d  %s", p.submittedCount, p.requests, fmt.Sprintf(format, args...))
}

// settled counts a job that is over.
func (p *progress) settled(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settledCount++
	if p.bars != nil {
		p.settledBar.Increment()
		return
	}
	p.print("settled %d/%d  %s", p.settledCount, p.jobs, fmt.Sprintf(format, args...))
}

// print shows a line, above the bars where there are any. The caller holds the lock. That nobody can see it is no reason to
// fail.
func (p *progress) print(format string, args ...any) {
	to := p.to
	if p.bars != nil {
		to = p.bars
	}
	_, _ = fmt.Fprintf(to, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// close ends the bars where they are; what comes later is shown by lines. It may be called more than once.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		return
	}
	p.submittedBar.Abort(false)
	p.settledBar.Abort(false)
	p.bars.Wait()
	p.bars = nil
}
