package display

import (
	"io"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress is a bar on a terminal, and nothing elsewhere.
type Progress struct {
	bars *mpb.Progress
	bar  *mpb.Bar
}

// NewProgress shows a bar that counts to total. Close must follow.
func NewProgress(to io.Writer, name string, total int) *Progress {
	if !IsTerminal(to) {
		return &Progress{}
	}
	bars := mpb.New(mpb.WithOutput(to), mpb.WithWidth(50))
	return &Progress{bars: bars, bar: bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 10, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d")))}
}

// Set moves the bar.
func (p *Progress) Set(count int) {
	if p.bar != nil {
		p.bar.SetCurrent(int64(count))
	}
}

// Close leaves the bar where it is.
func (p *Progress) Close() {
	if p.bar == nil {
		return
	}
	p.bar.Abort(false)
	p.bars.Wait()
	p.bar = nil
}
