package display

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress is a bar on a terminal, and nothing elsewhere. It appears after a second, so that what is quick shows none.
type Progress struct {
	bars  *mpb.Progress
	bar   *mpb.Bar
	delay *time.Timer
}

// patience is how long nothing is shown.
const patience = time.Second

// NewProgress shows a bar that counts to total; 0 means that the total is not known. Close must follow.
func NewProgress(to io.Writer, name string, total int) *Progress {
	if !IsTerminal(to) {
		return &Progress{}
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
	return &Progress{bars: bars, bar: bar, delay: time.AfterFunc(patience, func() { close(begun) })}
}

// Set moves the bar.
func (p *Progress) Set(count int) {
	if p.bar != nil {
		p.bar.SetCurrent(int64(count))
	}
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
