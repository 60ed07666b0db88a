package display

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress is a bar on a terminal, and nothing elsewhere. It appears after a second, so that what is quick shows none.
type Progress struct {
	to    io.Writer
	bars  *mpb.Progress
	bar   *mpb.Bar
	delay *time.Timer
	shown atomic.Bool
}

// patience is how long nothing is shown.
const patience = time.Second

// NewProgress shows a bar that counts to total; 0 means that the total is not known. Close must follow.
func NewProgress(to io.Writer, name string, total int) *Progress {
	if !IsTerminal(to) {
		return &Progress{to: to}
	}
	begun := make(chan struct{})
	bars := mpb.New(mpb.WithOutput(to), mpb.WithWidth(40), mpb.WithRenderDelay(begun))
	counters := decor.CountersNoUnit("%d/%d")
	if total == 0 {
		counters = decor.CurrentNoUnit("%d")
	}
	bar := bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 10, C: decor.DindentRight})),
		mpb.AppendDecorators(counters, decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})))
	p := &Progress{to: to, bars: bars, bar: bar}
	p.delay = time.AfterFunc(patience, func() {
		close(begun)
		p.shown.Store(true)
	})
	return p
}

// Set moves the bar.
func (p *Progress) Set(count int) {
	if p.bar != nil {
		p.bar.SetCurrent(int64(count))
	}
}

// Write writes whole lines above the bar, which would overwrite what is written past it.
func (p *Progress) Write(lines []byte) (int, error) {
	if p.bar != nil && p.shown.Load() {
		return p.bars.Write(lines)
	}
	return p.to.Write(lines)
}

// Close takes the bar away.
func (p *Progress) Close() {
	if p.bar == nil {
		return
	}
	p.delay.Stop()
	p.bar.Abort(true)
	p.bars.Wait()
	p.bar = nil
}
