//go:build !unix

package fcemu

import "errors"

// process is never made: instances need the process groups of a unix system.
type process struct {
	output *output
	gone   chan struct{}
}

func startProcess([]string, string, []string, *printer) (*process, error) {
	return nil, errors.New("function instances need a unix system (Linux or macOS)")
}

func (p *process) pid() int      { return 0 }
func (p *process) guardPID() int { return 0 }
func (p *process) terminate()    {}
func (p *process) kill()         {}
func (p *process) exit() string  { return "" }
